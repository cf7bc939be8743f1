"""Estimate of Retry-After for an unfinished job, from the usual run time of its type.

The Retry-After of a full queue is estimated in `shared/store/throughput.py`.
"""

from math import ceil

from shared.stored_record import StoredRecord

MAX_RETRY_AFTER = 30  # seconds
WEIGHT = 0.2  # of the newest job


class RunTimes:
    """The usual run time of each job type, learned from the finished jobs that requests read."""

    def __init__(self) -> None:
        self._usual: dict[str, float] = {}

    def note(self, record: StoredRecord) -> None:
        """Learn from a finished job."""
        seconds = record.seconds_run
        if seconds is not None:
            usual = self._usual.get(record.type, seconds)
            self._usual[record.type] = usual + WEIGHT * (seconds - usual)

    def retry_after(self, job_type: str) -> int:
        """Retry-After in seconds for an unfinished job: half of the usual run time of its type."""
        return min(max(ceil(self._usual.get(job_type, 0.0) / 2), 1), MAX_RETRY_AFTER)
