"""Models of the client: jobs, files, lines of a log and webhooks, each read from the server's JSON.

Every `from_record` ignores unknown fields, so that a newer server can add some. A record of another form
raises KeyError, TypeError, ValueError or AttributeError; `client.transport.parse` makes one error of these.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

Record = Mapping[str, Any]

RECEIPT_FIELDS = {"job_id", "state", "done"}
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


# -- jobs


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to submit.

    Attributes:
        type: the job type; `GET /job-types` lists all of them.
        params: the params of that type; a `File` stands for its id.
        run_at: the earliest start, with a time zone; without it the job starts at once.
        delay: seconds from now to the earliest start, in place of `run_at`.
        start_within: seconds after which the job fails, unless it has started.
        labels: short texts to find the job by.
        webhook: the URL that receives the record at the job's end.
    """

    type: str
    params: Mapping[str, Any]
    run_at: datetime | None = None
    delay: float | None = None
    start_within: float | None = None
    labels: Mapping[str, str] | None = None
    webhook: str | None = None

    def body(self) -> dict[str, Any]:
        """Render the JSON object of the submission.

        Raises:
            ValueError: `run_at` has no time zone.
        """
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise ValueError("run_at has no time zone; give it one, such as datetime.UTC.")
        options = {
            "run_at": self.run_at and self.run_at.isoformat(),
            "delay_seconds": self.delay,
            "start_within_seconds": self.start_within,
            "labels": self.labels and dict(self.labels),
            "webhook": self.webhook and {"url": self.webhook},
        }
        given = {name: value for name, value in options.items() if value is not None}
        return {"type": self.type, "params": _plain(self.params), **given}


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the running attempt; `fraction` is between 0 and 1."""

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
        return cls(**_pick(record, cls.__slots__))


@dataclass(frozen=True, slots=True)
class AttemptError:
    """The reason why one attempt at the job failed."""

    code: str
    message: str
    hint: str
    retryable: bool
    attempt: int
    at: datetime

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(**_pick(record, cls.__slots__) | {"at": datetime.fromisoformat(record["at"])})


@dataclass(frozen=True, slots=True)
class Job:
    """A job at the time of the response; later changes need another request.

    A key without a scope to read gets the id, the state and `done` alone. Then all other fields are empty,
    and `created_at` comes from the id.

    Attributes:
        state: `pending`, `running`, `completed`, `failed` or `cancelled`.
        done: whether the job is completed, failed or cancelled, and changes no more.
        result: the handler's return value; None until the job is completed.
        errors: one entry per failed attempt, oldest first.
        attempt: the running attempt, or the last one; 0 before the first.
        webhook: the URL that receives the record at the job's end.
        retry_of: the id of the finished job that this one repeats.
        version: rises by one at every change.
        raw: the whole record, with the fields of newer servers.
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
        raw = record
        if record.keys() == RECEIPT_FIELDS:
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
            run_at=_time_or_none(record["run_at"]),
            started_at=_time_or_none(record["started_at"]),
            finished_at=_time_or_none(record["finished_at"]),
            expires_at=_time_or_none(record["expires_at"]),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class JobPage:
    """Page of a list of jobs; the last page has no cursor."""

    jobs: list[Job]
    next_cursor: str | None

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(list(map(Job.from_record, record["items"])), record.get("next_cursor"))


# -- files and logs


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file. In the params of a job it stands for its `file_id`.

    Attributes:
        name: its name at the upload, if any.
        size: in bytes.
        expires_at: the file is kept until then, and for as long as the record of a job names it.
    """

    file_id: str
    name: str | None
    content_type: str
    size: int
    sha256: str
    created_at: datetime
    expires_at: datetime

    @classmethod
    def from_record(cls, record: Record) -> Self:
        times = {name: datetime.fromisoformat(record[name]) for name in ("created_at", "expires_at")}
        return cls(**_pick(record, cls.__slots__) | times)


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a job's log.

    Attributes:
        seq: its number within the job, from 1.
        fields: the named values beside the message.
        raw: the whole line, as the server sent it.
    """

    seq: int
    at: datetime
    attempt: int
    message: str
    fields: Record
    raw: Record = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(
            seq=record["seq"],
            at=datetime.fromisoformat(record["at"]),
            attempt=record["attempt"],
            message=record["message"],
            fields=record["fields"],
            raw=record,
        )

    @classmethod
    def from_log(cls, log: Record) -> list[Self]:
        return list(map(cls.from_record, log["items"]))


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """A chunk of a job's output.

    Attributes:
        run: the number of the run that emitted it; each run begins the output anew.
        attempt: the attempt that the run makes.
        seq: its number within the run, from 1.
        value: any value of JSON, such as a piece of text.
    """

    run: int
    attempt: int
    seq: int
    value: Any

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(record["run"], record["attempt"], record["seq"], record["chunk"])

    def __str__(self) -> str:
        """The value as text; JSON of values that are no text."""
        return self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False)


# -- webhooks


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
            next_attempt_at=_time_or_none(record["next_attempt_at"]),
            delivered_at=_time_or_none(record["delivered_at"]),
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


def _from_receipt(receipt: Record) -> Record:
    """Expand a receipt into a record with empty fields; the id, a UUIDv7, holds the time of creation."""
    created_at = datetime.fromtimestamp((UUID(receipt["job_id"]).int >> 80) / 1000, UTC)
    return {**EMPTY, "created_at": created_at.isoformat(), **receipt}


def _pick(record: Record, names: Iterable[str]) -> dict[str, Any]:
    return {name: record[name] for name in names}


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _plain(value: Any) -> Any:
    """Convert a value to plain JSON, with each file as its id."""
    match value:
        case File():
            return value.file_id
        case Mapping():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
