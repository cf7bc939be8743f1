"""Metrics of attempts: in the lane of the jobs, and in that of the webhooks."""

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from shared.metrics.engine import JOB_BOUNDS, EndedJobs
from shared.metrics.metric_set import MetricSet
from shared.metrics.series import OTHER, Counter, Histogram
from shared.store.job_leases import Finished, OutcomeKind, Step
from worker.running_job import RunningJob

DELIVERED = {
    OutcomeKind.COMPLETED: "delivered",
    OutcomeKind.RETRY: "retried",
    OutcomeKind.FAILED: "given_up",
    OutcomeKind.RELEASED: "postponed",
}


class FencedWrites:
    """The counter of refused outcomes, of both lanes."""

    def __init__(self, metrics: MetricSet) -> None:
        [self._counter] = metrics.counter(
            "fenced_writes", "Outcomes that Redis refused, because the lease was lost."
        )

    def note(self, done: Finished) -> None:
        if done.outcome.kind is not OutcomeKind.RETURNED:  # else another process has returned the claim
            self._counter.add()


def _type_of(done: Finished) -> str:
    """The type of a job whose handler was not started, from its message."""
    try:
        return str(orjson.loads(done.claim.message)["f"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return OTHER


class TypeSeries(NamedTuple):
    """The series of one job type."""

    wait: Histogram
    run: Histogram
    ends: dict[OutcomeKind, Counter]


class JobMetrics:
    """The metrics of the lane of jobs.

    Args:
        types: the names of the job types with a handler.
    """

    def __init__(
        self, metrics: MetricSet, types: Iterable[str], ended: EndedJobs, fenced: FencedWrites
    ) -> None:
        names = (*types, OTHER)
        labels, values = ("type",), [(name,) for name in names]
        self._fenced = fenced
        self._ended = ended
        retried = metrics.counter("jobs_retried", "Failed attempts whose job runs again.", labels, values)
        waits = metrics.histogram(
            "job_wait_seconds",
            "Time from the moment when a job was due to the start of an attempt.",
            JOB_BOUNDS,
            labels,
            values,
        )
        runs = metrics.histogram("job_run_seconds", "Duration of an attempt.", JOB_BOUNDS, labels, values)
        self._series = {
            name: TypeSeries(wait, run, self._ends(name, again))
            for name, wait, run, again in zip(names, waits, runs, retried, strict=True)
        }
        metrics.rising(  # each start is an observation of a wait already
            "jobs_started",
            "Attempts that this worker has started.",
            lambda: [((name,), series.wait.count) for name, series in self._series.items()],
            labels,
        )

    def note_start(self, job: RunningJob, wait: int) -> None:
        handler = job.handler
        series = self._series[handler.job_type.name if handler else OTHER]
        series.wait.observe(wait / 1000 if wait > 0 else 0.0)

    def note_end(self, job: RunningJob) -> None:
        handler = job.handler
        series = self._series[handler.job_type.name if handler else OTHER]
        series.run.observe(time.monotonic() - job.started_at)

    def note_step(self, finished: Sequence[Finished], step: Step) -> None:
        series, other = self._series, self._series[OTHER]
        for done, accepted in zip(finished, step.accepted, strict=True):
            if not accepted:
                self._fenced.note(done)
            elif counter := series.get(done.job_type or _type_of(done), other).ends.get(done.outcome.kind):
                counter.add()
        if step.moves:
            self._ended.note_moves(step.moves)

    def _ends(self, name: str, retried: Counter) -> dict[OutcomeKind, Counter]:
        terminal = self._ended.of(name)
        return {OutcomeKind(state): counter for state, counter in terminal.items()} | {
            OutcomeKind.RETRY: retried
        }


class WebhookMetrics:
    """The metrics of the lane of webhooks."""

    def __init__(self, metrics: MetricSet, ended: EndedJobs, fenced: FencedWrites) -> None:
        self._ended = ended
        self._fenced = fenced
        counters = metrics.counter(
            "webhook_deliveries",
            "Attempts to deliver a webhook, by outcome.",
            ("outcome",),
            [(outcome,) for outcome in DELIVERED.values()],
        )
        self._ends = dict(zip(DELIVERED, counters, strict=True))

    def note_start(self, job: RunningJob, wait: int) -> None:
        """Webhooks count at their ends alone."""

    def note_end(self, job: RunningJob) -> None:
        """Webhooks count once Redis has taken their outcomes."""

    def note_step(self, finished: Sequence[Finished], step: Step) -> None:
        for done, accepted in zip(finished, step.accepted, strict=True):
            if not accepted:
                self._fenced.note(done)
            elif counter := self._ends.get(done.outcome.kind):
                counter.add()
        if step.moves:
            self._ended.note_moves(step.moves)
