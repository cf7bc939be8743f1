"""Reports of a job's start, which the suite switches off: a record's version then counts moves alone."""

from worker.event_loop import owner_context
from worker.running_job import RunningJob


def report_no_start() -> None:
    """Leave the start of the calling job, if its claim was held, to its outcome."""
    owner = owner_context.get()
    if isinstance(owner, RunningJob):
        owner.start_reported = True
