"""LaneMetrics: the metrics of a lane, as the lane calls them."""

from collections.abc import Sequence
from typing import Protocol

from shared.store.job_leases import Finished, Step
from worker.running_job import RunningJob


class LaneMetrics(Protocol):
    """The metrics of one lane."""

    def note_start(self, job: RunningJob, wait: int) -> None:
        """Count an attempt that starts; `wait` is the time since its job was due, in milliseconds."""

    def note_end(self, job: RunningJob) -> None:
        """Count an attempt that has ended here, whatever becomes of its outcome."""

    def note_step(self, finished: Sequence[Finished], step: Step) -> None:
        """Count the outcomes that Redis has taken or refused, and the moves of the step."""
