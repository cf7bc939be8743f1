"""Webhooks of jobs, and their deliveries."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from client.job import RECEIPT, AttemptError
from client.records import Record, time_or_none


@dataclass(frozen=True, slots=True)
class Delivery:
    """The attempts to deliver a webhook, until one succeeds.

    Attributes:
        number: which delivery of this webhook it is, from 1.
        state: `pending`, `running`, `completed`, `failed` or `cancelled`.
        attempt: the running attempt, or the last one; 0 before the first.
        attempts: one entry per failed attempt, oldest first.
        status: the receiver's answer to the attempt that succeeded.
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
    """The webhook of a job, with its deliveries; there are none before the job has ended.

    All of it is empty for a key that may not read the job.

    Attributes:
        webhook_id: the header `webhook-id`, the same at every attempt.
        deliveries: oldest first.
    """

    url: str
    webhook_id: str
    deliveries: tuple[Delivery, ...]

    @classmethod
    def from_record(cls, record: Record) -> Self:
        if record.keys() == RECEIPT:
            return cls("", "", ())
        deliveries = tuple(map(Delivery.from_record, record["deliveries"]))
        return cls(record["url"], record["webhook_id"], deliveries)
