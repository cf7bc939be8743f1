"""Models of webhooks and their deliveries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from client.models.jobs import AttemptError
from client.models.record import RECEIPT_FIELDS, Record, optional, read, several, time_of


@dataclass(frozen=True, slots=True)
class Delivery:
    """Delivery of a webhook, with all its attempts.

    Attributes:
        number: counts the deliveries of this webhook, from 1.
        state: `pending`, `running`, `completed`, `failed` or `cancelled`.
        attempt: the running attempt, or the last one; 0 before the first.
        attempts: one entry per failed attempt, oldest first.
        status: the receiver's HTTP status at the attempt that succeeded.
    """

    number: int
    state: str
    done: bool
    attempt: int
    attempts: tuple[AttemptError, ...]
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    status: int | None

    @classmethod
    def from_record(cls, record: Record) -> Self:
        times = dict.fromkeys(("next_attempt_at", "delivered_at"), optional(time_of))
        return read(cls, record, attempts=several(AttemptError.from_record), **times)


@dataclass(frozen=True, slots=True)
class Webhook:
    """The webhook of a job. A key without a scope to read gets an empty one.

    Attributes:
        webhook_id: the header `webhook-id`, the same at every attempt.
        deliveries: oldest first; the first one starts when the job ends.
    """

    url: str
    webhook_id: str
    deliveries: tuple[Delivery, ...]

    @classmethod
    def from_record(cls, record: Record) -> Self:
        if record.keys() == RECEIPT_FIELDS:
            return cls("", "", ())
        return read(cls, record, deliveries=several(Delivery.from_record))
