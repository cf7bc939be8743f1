"""The end of an attempt: its outcome with all that goes to Redis beside it, and its line in the log."""

import time

from shared.errors import RetryableError
from shared.logging import get_log
from shared.store.job_leases import Finished, Outcome, OutcomeKind
from worker.context import NO_REPORT
from worker.execute import failed
from worker.processes.protocol import describe
from worker.running_job import RunningJob

ENDED = {kind: f"job {kind}" for kind in OutcomeKind}

log = get_log(__name__)


def finished_attempt(job: RunningJob, outcome: Outcome) -> Finished:
    """The outcome of an attempt with its last report and its artifacts.

    An attempt whose artifacts can't be listed has not completed.
    """
    report, artifacts = NO_REPORT, b""
    try:  # noqa: SIM105  # without a cost for each job
        report = job.context.pending_report(whole=True)
    except Exception:  # noqa: S110  # the outcome matters more than its last report
        pass
    try:
        artifacts = job.context.files.artifacts_json() if job.context.files else b""
    except Exception as error:
        if outcome.kind is OutcomeKind.COMPLETED:
            outcome = failed(
                job,
                RetryableError(
                    f"The artifacts could not be listed: {describe(error)}.", code="artifacts_lost"
                ),
            )
    return Finished(
        job.claim,
        outcome,
        report.progress,
        report.lines,
        artifacts,
        job.held_until,
        report.output,
        job.handler.job_type.name if job.handler else "",
    )


def log_end(job: RunningJob, outcome: Outcome | None) -> None:
    """Log the end of an attempt; no outcome means a lost lease."""
    duration = round(time.monotonic() - job.started_at, 4)
    if outcome is None:
        log.warning("lease lost; the attempt is discarded", duration=duration)
    elif outcome.kind is OutcomeKind.RELEASED and outcome.delay:
        log.debug(ENDED[outcome.kind], duration=duration)  # outcome_of_error() has logged the reason
    else:
        log.info(ENDED[outcome.kind], duration=duration)
