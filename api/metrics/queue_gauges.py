"""Gauges of the queues, and of Redis itself: read from Redis when they are scraped."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from shared.errors import QueueUnavailable
from shared.metrics.metric_set import MetricSet, Reading
from shared.metrics.series import OTHER
from shared.store.queues import QueueState

KEPT_SECONDS = 1.0  # for which one reading serves all scrapes
MOST_QUEUES = 200  # that have series of their own


JOBS: dict[str, Callable[[QueueState], float]] = {
    "ready": lambda state: state.ready,
    "running": lambda state: state.running,
    "scheduled": lambda state: state.scheduled,
}


class QueueGauges:
    """The states of the queues at the last scrape; none while Redis does not answer.

    Args:
        metrics: the set in which the gauges are declared.
    """

    def __init__(self, metrics: MetricSet) -> None:
        self._states: Sequence[QueueState] = ()
        self._redis_answers = False
        self._read_at = -KEPT_SECONDS
        self._reading = asyncio.Lock()
        metrics.gauge(
            "queue_jobs",
            "Jobs of a queue: due, running, or waiting for their time.",
            self._jobs,
            ("queue", "state"),
        )
        metrics.gauge(
            "queue_oldest_wait_seconds",
            "Time for which the first of the due jobs has been due.",
            lambda: self._each(lambda state: state.oldest_wait, max),
            ("queue",),
        )
        metrics.gauge(
            "queue_paused",
            "Whether a queue is paused: 1 or 0.",
            lambda: self._each(lambda state: float(state.pause is not None), max),
            ("queue",),
        )
        metrics.gauge(
            "queue_workers",
            "Live workers that serve a queue.",
            lambda: self._each(lambda state: state.workers, sum),
            ("queue",),
        )
        metrics.gauge(
            "queue_concurrency",
            "Jobs of a queue that its live workers can run at once.",
            lambda: self._each(lambda state: state.concurrency, sum),
            ("queue",),
        )
        metrics.gauge(
            "redis_up", "Whether Redis answers: 1 or 0.", lambda: [((), float(self._redis_answers))]
        )

    async def refresh(self, read: Callable[[], Awaitable[Sequence[QueueState]]]) -> None:
        """Read the queues, unless that was done a moment ago."""
        async with self._reading:
            if time.monotonic() - self._read_at < KEPT_SECONDS:
                return
            try:
                self._states, self._redis_answers = await read(), True
            except QueueUnavailable:
                self._states, self._redis_answers = (), False
            self._read_at = time.monotonic()

    def _jobs(self) -> Reading:
        for name, value in JOBS.items():
            for (queue,), jobs in self._each(value, sum):
                yield (queue, name), jobs

    def _each(self, value: Callable[[QueueState], float], combine: Callable[[list[float]], float]) -> Reading:
        """A value of each queue; beyond MOST_QUEUES those of all others together."""
        for state in self._states[:MOST_QUEUES]:
            yield (state.name,), value(state)
        if others := self._states[MOST_QUEUES:]:
            yield (OTHER,), combine([value(state) for state in others])
