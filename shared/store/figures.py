"""Figures: jobs by time, and the times of the jobs that ended last."""

from collections.abc import Iterable
from statistics import quantiles
from typing import NamedTuple

from shared.record import TERMINAL_STATES, JobState
from shared.store import scripts
from shared.store.client import Runner
from shared.store.redis_calls import RedisCalls

BUCKET_SECONDS = 10
HISTORY_SECONDS = 900
SAMPLED = 300  # jobs of each state, about 2 ms; Redis does nothing else meanwhile


class Bucket(NamedTuple):
    """Jobs of all queues in ten seconds; their begin in milliseconds since the epoch."""

    at: int
    submitted: int
    completed: int
    failed: int
    cancelled: int


class Times(NamedTuple):
    """The median and the 99th percentile of some times, in seconds."""

    p50: float
    p99: float


class JobTypeFigures(NamedTuple):
    """Figures of a job type among the jobs that ended last.

    Attributes:
        completed, failed: jobs of the sample.
        run: from the start of the last attempt to the end; None if none has started.
        wait: from the time when the job was due to the start of its last attempt.
    """

    completed: int
    failed: int
    run: Times | None
    wait: Times | None


class Figures:
    """Reads figures. Raises QueueUnavailable while Redis can't serve it.

    Args:
        runner: sends commands.
    """

    def __init__(self, runner: Runner) -> None:
        self._redis = RedisCalls(runner)

    async def history(self, since: int | None = None) -> list[Bucket]:
        """The buckets from a time (ms) on, else of the last quarter of an hour; empty ones left out."""
        if since is None:
            since = await self._redis.now() - HISTORY_SECONDS * 1000
        return [_bucket(*words) for words in await self._redis.run(scripts.HISTORY, since)]

    async def job_types(self) -> dict[str, JobTypeFigures]:
        """Figures by job type, from the SAMPLED jobs of each state that ended last."""
        counts: dict[str, dict[JobState, int]] = {}
        run: dict[str, list[float]] = {}
        wait: dict[str, list[float]] = {}
        for state in (JobState.COMPLETED, JobState.FAILED):
            for name, due_at, started_at, finished_at in await self._redis.run(scripts.ENDED, state, SAMPLED):
                job_type = name.decode()
                by_state = counts.setdefault(job_type, dict.fromkeys(TERMINAL_STATES, 0))
                by_state[state] += 1
                if started_at:
                    run.setdefault(job_type, []).append((int(finished_at) - int(started_at)) / 1000)
                    wait.setdefault(job_type, []).append(max(int(started_at) - int(due_at), 0) / 1000)
        return {
            name: JobTypeFigures(
                by_state[JobState.COMPLETED],
                by_state[JobState.FAILED],
                _times(run.get(name, ())),
                _times(wait.get(name, ())),
            )
            for name, by_state in sorted(counts.items())
        }


def _bucket(at: bytes, *pairs: bytes) -> Bucket:
    sums = dict.fromkeys(Bucket._fields[1:], 0)
    for name, number in zip(pairs[::2], pairs[1::2], strict=True):
        queue, _, outcome = name.decode().rpartition(" ")
        if not queue.startswith("internal."):
            sums[outcome] += int(number)
    return Bucket(int(at), **sums)


def _times(values: Iterable[float]) -> Times | None:
    found = sorted(values)
    if len(found) < 2:
        return Times(found[0], found[0]) if found else None
    cuts = quantiles(found, n=100, method="inclusive")
    return Times(round(cuts[49], 3), round(cuts[98], 3))
