"""Models of jobs: to submit, as they are, and their attempts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Self
from uuid import UUID

from client.models.files import File
from client.models.record import RECEIPT_FIELDS, Record, optional, read, several, time_of, time_text

EMPTY: Record = {
    **dict.fromkeys(("type", "queue"), ""),
    **dict.fromkeys(("attempt", "max_attempts", "version"), 0),
    **dict.fromkeys(("progress", "webhook", "retry_of")),
    **dict.fromkeys(("run_at", "started_at", "finished_at", "expires_at")),
    **dict.fromkeys(("artifacts", "errors"), ()),
    "labels": {},
    "cancel_requested": False,
    "queue_paused": False,
}
PAYLOAD: Record = {"params": {}, "result": None}


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
        options = {
            "run_at": self.run_at and time_text("run_at", self.run_at),
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
    message: str = ""

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record)


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
        return read(cls, record)


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
        return read(cls, record, at=time_of)


@dataclass(frozen=True, slots=True)
class Job:
    """A job at the time of the response; later changes need another request.

    A key without a scope to read gets the id, the state and `done` alone. Then all other fields are empty,
    and `created_at` comes from the id. Jobs of `Client.events` have empty `params` and no `result`.

    Attributes:
        state: `pending`, `running`, `completed`, `failed` or `cancelled`.
        done: whether the job is completed, failed or cancelled, and changes no more.
        result: the handler's return value; None until the job is completed.
        errors: one entry per failed attempt, oldest first.
        attempt: the running attempt, or the last one; 0 before the first.
        queue_paused: the job waits in a queue that is paused.
        queue_position: the place of a job that waits in its queue, from 1; only `get` and `wait` read it.
        queue_position_estimated: that place is an estimate, as on a Redis Cluster.
        estimated_wait_seconds: seconds to its start, by the rate of the last minute; None if unknown.
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
    queue_paused: bool = field(default=False, kw_only=True)
    queue_position: int | None = field(default=None, kw_only=True)
    queue_position_estimated: bool = field(default=False, kw_only=True)
    estimated_wait_seconds: float | None = field(default=None, kw_only=True)
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
        full = _from_receipt(record) if record.keys() == RECEIPT_FIELDS else record
        job = read(
            cls,
            {**PAYLOAD, **full},
            progress=optional(Progress.from_record),
            artifacts=several(Artifact.from_record),
            errors=several(AttemptError.from_record),
            webhook=optional(itemgetter("url")),
            created_at=time_of,
            **dict.fromkeys(("run_at", "started_at", "finished_at", "expires_at"), optional(time_of)),
        )
        return replace(job, raw=record)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a job.

    Attributes:
        attempt: its number; an attempt that was handed back has the number of the next one.
        ended_at: None while it runs.
        outcome: `running`, `completed`, `failed`, `retried`, `cancelled`; `released` if a worker handed the
            job back, `lost` if the worker died.
        worker: the id of the worker.
        error: the reason of an attempt that failed.
    """

    attempt: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    worker: str | None
    error: AttemptError | None
    raw: Record = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        error = optional(AttemptError.from_record)
        return read(cls, record, started_at=time_of, ended_at=optional(time_of), error=error)

    @classmethod
    def from_list(cls, found: Record) -> list[Self]:
        return list(map(cls.from_record, found["items"]))


@dataclass(frozen=True, slots=True)
class JobPage:
    """Page of a list of jobs; the last page has no cursor.

    Attributes:
        incomplete: jobs are missing, because a shard of Redis does not answer.
    """

    jobs: list[Job]
    next_cursor: str | None = None
    incomplete: bool = False

    @classmethod
    def from_record(cls, record: Record) -> Self:
        jobs = list(map(Job.from_record, record["items"]))
        return read(cls, {**record, "jobs": jobs})


def _from_receipt(receipt: Record) -> Record:
    """Expand a receipt into a record with empty fields; the id, a UUIDv7, holds the time of creation."""
    created_at = datetime.fromtimestamp((UUID(receipt["job_id"]).int >> 80) / 1000, UTC)
    return {**EMPTY, "created_at": created_at.isoformat(), **receipt}


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
