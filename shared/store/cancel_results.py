"""Effects of requests to cancel one job, or several."""

from enum import StrEnum


class CancelResult(StrEnum):
    """The effect of a request to cancel a job."""

    CANCELLED = "cancelled"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    CHANGED = "changed"


class BulkCancelResult(StrEnum):
    """The effect of a bulk cancellation on one job.

    KEPT: it is in another state than the request names. AWAY: its shard does not answer.
    """

    CANCELLED = "cancelled"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    KEPT = "kept"
    MISSING = "missing"
    EXPIRED = "expired"
    AWAY = "away"
