"""Timeouts of attempts: set at the start, enforced at each tick, worded in the job's error."""

from collections.abc import Iterable

from shared.errors import RetryableError
from worker.running_job import RunningJob

TICK_SECONDS = 0.1
ABANDON_SECONDS = 5.0  # from the stop of an attempt until its handler is abandoned
OVERDUE_SECONDS = ABANDON_SECONDS + 1  # from a deadline until the heartbeat stops to renew the lease


def set_deadline(job: RunningJob) -> None:
    """Start the timeout of an attempt, counted from its start."""
    if job.handler is not None:
        job.deadline = job.started_at + job.handler.timeout


def overdue(jobs: Iterable[RunningJob], now: float) -> tuple[list[RunningJob], list[RunningJob]]:
    """The attempts whose time is over.

    Returns:
        Those to stop, because their deadline is over; and those to abandon, because they have not ended
        within ABANDON_SECONDS of a stop for any reason.
    """
    late, endless = [], []
    for job in jobs:
        if now > job.stopped_at + ABANDON_SECONDS:
            endless.append(job)
        elif now > job.deadline:
            late.append(job)
    return late, endless


def timeout_error(seconds: float) -> RetryableError:
    """The error of an attempt that was stopped after its timeout."""
    return RetryableError(
        f"The attempt took longer than {seconds:g} s.",
        code="job_timeout",
        hint="Submit less work per job, or raise the job type's timeout.",
    )
