"""JobContext: what a handler may know of its job, and do with it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from shared.record import storable
from shared.store.model import Claim


@dataclass(slots=True, eq=False)
class JobContext:
    """The job that a handler performs.

    Attributes:
        job_id: the job's id.
        attempt: which attempt this is, from 1.
        max_attempts: the attempts after which the job fails for good.
        cancel_requested: true once the job is to stop: it was cancelled, its time is over, or the
            worker shuts down. An `async def` handler is interrupted as well; a `def` handler that
            runs for long looks here now and then.
        latest: the last progress reported, JSON; `unsent` until it is on its way to the record.
    """

    job_id: str
    attempt: int
    max_attempts: int
    cancel_requested: bool = False
    latest: bytes = b""
    unsent: bool = False
    _announce: Callable[[], object] = field(default=lambda: None, repr=False)

    @classmethod
    def of(cls, claim: Claim, announce: Callable[[], object]) -> "JobContext":
        return cls(claim.job_id, claim.attempt, claim.max_attempts, _announce=announce)

    def progress(self, fraction: float, message: str = "") -> None:
        """Report how far the job is; may be called as often as one likes, from any thread.

        Args:
            fraction: 0 to 1; other values are brought into that range, NaN to 0.
            message: one line for the person who waits.
        """
        fraction = min(max(float(fraction), 0.0), 1.0) if fraction == fraction else 0.0
        self.latest = orjson.dumps({"fraction": fraction, "message": storable(message)})
        self.unsent = True
        self._announce()
