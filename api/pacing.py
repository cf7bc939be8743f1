"""Pacing: the time until another look at a job pays."""

from math import ceil

from shared.record import StoredRecord

LONGEST_PAUSE = 30  # seconds
WEIGHT = 0.2  # of the newest job


class Pacing:
    """The usual time of jobs of each type, learned from the finished ones that requests read."""

    def __init__(self) -> None:
        self._usual: dict[str, float] = {}

    def note(self, record: StoredRecord) -> None:
        """Learn from a finished job."""
        seconds = record.seconds_run
        if seconds is not None:
            usual = self._usual.get(record.type, seconds)
            self._usual[record.type] = usual + WEIGHT * (seconds - usual)

    def pause(self, job_type: str) -> int:
        """Seconds until another look at an unfinished job pays: half of what its type usually takes."""
        return min(max(ceil(self._usual.get(job_type, 0.0) / 2), 1), LONGEST_PAUSE)
