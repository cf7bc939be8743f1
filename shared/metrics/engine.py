"""Metrics that API and worker have in common."""

from collections.abc import Iterable, Sequence

from prometheus_client import PlatformCollector, ProcessCollector

from shared import VERSION
from shared.metrics.metric_set import MetricSet
from shared.metrics.series import OTHER, Counter, Histogram
from shared.record import TERMINAL_STATES
from shared.store.moves import RESCUED, Move

CALL_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
JOB_BOUNDS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1800.0,
    7200.0,
)


class EndedJobs:
    """Counters of the jobs that this process has moved to a terminal state, and of those that it rescued.

    The sum over all processes is that of the records. A worker ends the jobs that it runs; any process ends
    jobs of dead workers and those that did not start in time; the API those that it cancels while they wait.

    Args:
        types: the names of the job types.
    """

    def __init__(self, metrics: MetricSet, types: Iterable[str]) -> None:
        pairs = [(name, str(state)) for name in (*types, OTHER) for state in sorted(TERMINAL_STATES)]
        counters = metrics.counter(
            "jobs_finished", "Jobs that this process has ended, by outcome.", ("type", "outcome"), pairs
        )
        self._counters: dict[str, dict[str, Counter]] = {}
        for (name, state), counter in zip(pairs, counters, strict=True):
            self._counters.setdefault(name, {})[state] = counter
        [self._rescued] = metrics.counter(
            "jobs_rescued", "Attempts whose worker was lost, which this process has ended."
        )

    def of(self, job_type: str) -> dict[str, Counter]:
        """The counters of a job type by terminal state; those of OTHER for an unknown one."""
        return self._counters.get(job_type) or self._counters[OTHER]

    def note_moves(self, moves: Sequence[Move]) -> None:
        """Count the jobs that a call to Redis has ended or rescued besides the outcomes of attempts."""
        for job_type, kind in moves:
            if kind == RESCUED:
                self._rescued.add()
            else:
                self.of(job_type)[kind].add()


def declare_redis_calls(metrics: MetricSet) -> Histogram:
    [calls] = metrics.histogram(
        "redis_call_duration_seconds",
        "Time from a call to Redis to its reply, with the wait for this process's event loop.",
        CALL_BOUNDS,
    )
    return calls


def declare_process(metrics: MetricSet, *, alone: bool) -> None:
    """Declare the release, and the usual figures of a process, which mean nothing for several of them."""
    metrics.gauge("build_info", "The release of this process.", lambda: [((VERSION,), 1.0)], ("version",))
    if alone:
        ProcessCollector(registry=metrics.registry)
        PlatformCollector(registry=metrics.registry)
