"""A job: as it is asked for, and as the server's record tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from client.records import File, Record, time_or_none


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be done.

    Attributes:
        type: the job type; `GET /job-types` lists those there are.
        params: what that type needs; a `File` stands for its id.
        run_at: when to start it, with a time zone; at once without it.
        delay: seconds from now in which to start it, in place of `run_at`.
        start_within: seconds in which it must have started, or it fails.
        labels: short texts to find it by.
        webhook: the address that is to be told of its end.
    """

    type: str
    params: Mapping[str, Any]
    run_at: datetime | None = None
    delay: float | None = None
    start_within: float | None = None
    labels: Mapping[str, str] | None = None
    webhook: str | None = None

    def body(self) -> dict[str, Any]:
        """The JSON object that asks for it.

        Raises:
            ValueError: `run_at` has no time zone.
        """
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise ValueError("run_at has no time zone; give it one, such as datetime.UTC.")
        given = {
            "run_at": self.run_at and self.run_at.isoformat(),
            "delay_seconds": self.delay,
            "start_within_seconds": self.start_within,
            "labels": self.labels and dict(self.labels),
            "webhook": self.webhook and {"url": self.webhook},
        }
        asked = {name: value for name, value in given.items() if value is not None}
        return {"type": self.type, "params": _plain(self.params), **asked}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the running attempt is; `fraction` is between 0 and 1."""

    fraction: float
    message: str

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(record["fraction"], record.get("message", ""))


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that the job made; `size` is in bytes."""

    name: str
    content_type: str
    size: int
    sha256: str
    url: str

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(**{name: record[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class AttemptError:
    """Why one attempt at the job failed."""

    code: str
    message: str
    hint: str
    retryable: bool
    attempt: int
    at: datetime

    @classmethod
    def from_record(cls, record: Record) -> Self:
        told = {name: record[name] for name in cls.__slots__}
        return cls(**told | {"at": datetime.fromisoformat(told["at"])})


RECEIPT = {"job_id", "state", "done"}
EMPTY: Record = {
    **dict.fromkeys(("type", "queue"), ""),
    **dict.fromkeys(("attempt", "max_attempts", "version"), 0),
    **dict.fromkeys(("result", "progress", "webhook", "retry_of")),
    **dict.fromkeys(("run_at", "started_at", "finished_at", "expires_at")),
    **dict.fromkeys(("artifacts", "errors"), ()),
    "params": {},
    "labels": {},
    "cancel_requested": False,
}


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it was when the server told of it; it does not change by itself.

    A key that may not read the job gets its id, its state and `done` alone. The rest is empty then, and
    `created_at` comes from the id.

    Attributes:
        state: `pending`, `running`, `completed`, `failed` or `cancelled`.
        done: whether the job is completed, failed or cancelled, and changes no more.
        result: what the job returned; None until it is completed.
        errors: one entry per failed attempt, oldest first.
        attempt: the running attempt, or the last one; 0 before the first.
        webhook: the address that is told of its end.
        retry_of: the id of the finished job that this one repeats.
        version: rises by one at every change.
        raw: the record itself, with whatever else a newer server tells.
    """

    job_id: str
    type: str
    queue: str
    state: str
    done: bool
    params: Mapping[str, Any]
    result: Any
    progress: Progress | None
    artifacts: tuple[Artifact, ...]
    errors: tuple[AttemptError, ...]
    attempt: int
    max_attempts: int
    cancel_requested: bool
    labels: Mapping[str, str]
    webhook: str | None
    retry_of: str | None
    version: int
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    raw: Record = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """A job from a record; fields that are not known here stay in `raw`.

        Raises:
            KeyError, TypeError, ValueError: it is no record of a job.
        """
        raw = record
        if record.keys() == RECEIPT:
            record = _from_receipt(record)
        progress = record["progress"]
        return cls(
            job_id=record["job_id"],
            type=record["type"],
            queue=record["queue"],
            state=record["state"],
            done=record["done"],
            params=record["params"],
            result=record["result"],
            progress=progress and Progress.from_record(progress),
            artifacts=tuple(map(Artifact.from_record, record["artifacts"])),
            errors=tuple(map(AttemptError.from_record, record["errors"])),
            attempt=record["attempt"],
            max_attempts=record["max_attempts"],
            cancel_requested=record["cancel_requested"],
            labels=record["labels"],
            webhook=record["webhook"] and record["webhook"]["url"],
            retry_of=record["retry_of"],
            version=record["version"],
            created_at=datetime.fromisoformat(record["created_at"]),
            run_at=time_or_none(record["run_at"]),
            started_at=time_or_none(record["started_at"]),
            finished_at=time_or_none(record["finished_at"]),
            expires_at=time_or_none(record["expires_at"]),
            raw=raw,
        )


def _from_receipt(receipt: Record) -> Record:
    """A receipt as a record, whose other fields are empty; the id, a UUIDv7, holds the time of creation."""
    created_at = datetime.fromtimestamp((UUID(receipt["job_id"]).int >> 80) / 1000, UTC)
    return {**EMPTY, "created_at": created_at.isoformat(), **receipt}


def _plain(value: Any) -> Any:
    """The value as JSON knows it, with each file as its id."""
    match value:
        case File():
            return value.file_id
        case Mapping():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
