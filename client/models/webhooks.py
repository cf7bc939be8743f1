"""Models of webhooks and their deliveries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from client.models.jobs import AttemptError
from client.models.record import RECEIPT_FIELDS, Record, time_or_none


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
        return cls(
            number=record["number"],
            state=record["state"],
            done=record["done"],
            attempt=record["attempt"],
            attempts=tuple(map(AttemptError.from_record, record["attempts"])),
            next_attempt_at=time_or_none(record["next_attempt_at"]),
            delivered_at=time_or_none(record["delivered_at"]),
            status=record["status"],
        )


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
        deliveries = tuple(map(Delivery.from_record, record["deliveries"]))
        return cls(record["url"], record["webhook_id"], deliveries)
