"""WorkerMetrics: the metrics of one worker process."""

import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from shared.metrics.engine import EndedJobs, declare_process, declare_redis_calls
from shared.metrics.loop_lag import declare_lag, watch_lag
from shared.metrics.metric_set import MetricSet
from worker.lane_pair import LanePair
from worker.metrics.attempt_metrics import FencedWrites, JobMetrics, WebhookMetrics
from worker.metrics.server import MetricsServer
from worker.processes.child_counts import Children, Counted

FAILED, REPLACED = "failed", "replaced"


class WorkerMetrics:
    """The metrics of a worker.

    Attributes:
        set: the set of all metrics.
        jobs: those of the lane of jobs.
        webhooks: those of the lane of webhooks.
        redis_calls: the durations of calls to Redis.
        note_moves: counts the moves of the worker's upkeep.

    Args:
        types: the names of the job types with a handler.
        listener: the socket on which they are served.
    """

    def __init__(self, types: Iterable[str], listener: socket.socket) -> None:
        self._listener = listener
        self.set = MetricSet()
        names = tuple(types)
        ended, fenced = EndedJobs(self.set, names), FencedWrites(self.set)
        self.jobs = JobMetrics(self.set, names, ended, fenced)
        self.webhooks = WebhookMetrics(self.set, ended, fenced)
        self.note_moves = ended.note_moves
        self.redis_calls = declare_redis_calls(self.set)
        self._lag = declare_lag(self.set)
        declare_process(self.set, alone=True)
        self.set.open()

    def services_of(
        self, lanes: LanePair, children: Children, redis_answers: Callable[[], bool]
    ) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """The services that serve the metrics, with the state of these parts of the worker at each scrape."""
        jobs = next(iter(lanes)).jobs
        gauge = self.set.gauge
        gauge("worker_concurrency", "Jobs that this worker runs at once.", lambda: [((), jobs.size)])
        gauge("worker_jobs_running", "Jobs that this worker runs now.", lambda: [((), jobs.occupied)])
        gauge("redis_up", "Whether Redis answers: 1 or 0.", lambda: [((), float(redis_answers()))])
        self._watch_children(children._asdict())
        return [MetricsServer(self._listener, self.text).run, self._watch_loop]

    def text(self) -> bytes:
        """The answer to a scrape."""
        return self.set.text()

    def _watch_children(self, children: dict[str, Counted]) -> None:
        self.set.gauge(
            "child_processes",
            "Child processes that run now, by kind.",
            lambda: [((kind,), part.counts.alive) for kind, part in children.items()],
            ("kind",),
        )
        self.set.rising(
            "child_process_restarts",
            "Ends of child processes, each followed by another start: failed, or replaced by the worker.",
            lambda: [
                ((kind, reason), count)
                for kind, part in children.items()
                for reason, count in ((FAILED, part.counts.failed), (REPLACED, part.counts.replaced))
            ],
            ("kind", "reason"),
        )

    async def _watch_loop(self) -> None:
        await watch_lag(self._lag)
