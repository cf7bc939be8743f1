"""JobRecord: the truth about a job, as clients read it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from shared.answer import ALWAYS_SENT


class JobState(StrEnum):
    """The states of a job. Completed, failed and cancelled are terminal: they never change."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})

MAX_TEXT_LENGTH = 1000

PAYLOAD = ("params", "result")
"""Fields of a record that clients and handlers fill; they may be large."""

SUMMARY = (
    *(
        "type",
        "queue",
        "state",
        "progress",
        "artifacts",
        "errors",
        "attempt",
        "max_attempts",
        "cancel_requested",
    ),
    *("labels", "webhook", "retry_of", "caller", "version", "created_at", "run_at", "start_by", "started_at"),
    *("finished_at", "expires_at"),
)
"""Fields of `jobs:record:<id>` for a record without its payload."""


class Progress(BaseModel):
    """The progress of the running attempt."""

    model_config = ALWAYS_SENT

    fraction: Annotated[float, Field(ge=0, le=1)]
    message: str = ""


class Artifact(BaseModel):
    """A file that the job made."""

    name: str
    content_type: str
    size: Annotated[int, Field(description="In bytes.")]
    sha256: str
    url: str


class JobWebhook(BaseModel):
    """The receiver of the record once the job has ended."""

    url: str


class JobError(BaseModel):
    """The error of a failed attempt: the error envelope, with the attempt and the time."""

    code: str
    message: str
    hint: str
    retryable: bool
    attempt: int
    at: datetime


EXAMPLE_RECORD: dict[str, JsonValue] = {
    "job_id": "019ab1c2-7d10-7c4e-9a55-3f5b8f0e6d21",
    "type": "word_count",
    "queue": "default",
    "state": "completed",
    "done": True,
    "params": {"text": "to be or not to be", "top": 1},
    "result": {"lines": 1, "words": 6, "unique": 4, "top": [{"word": "to", "count": 2}]},
    "progress": None,
    "artifacts": [],
    "errors": [],
    "attempt": 1,
    "max_attempts": 3,
    "cancel_requested": False,
    "labels": {},
    "webhook": None,
    "retry_of": None,
    "caller": None,
    "version": 3,
    "created_at": "2026-01-01T12:00:00.000000Z",
    "run_at": None,
    "start_by": None,
    "started_at": "2026-01-01T12:00:00.002000Z",
    "finished_at": "2026-01-01T12:00:00.005000Z",
    "expires_at": "2026-01-02T12:00:00.005000Z",
    "queue_position": None,
    "estimated_wait_seconds": None,
    "queue_paused": False,
}


class JobRecord(BaseModel):
    """A job, from its acceptance to its end."""

    model_config = ConfigDict(**ALWAYS_SENT, frozen=True, json_schema_extra={"examples": [EXAMPLE_RECORD]})

    job_id: Annotated[str, Field(description="Time-ordered (UUIDv7).")]
    type: Annotated[str, Field(description="The job type that performs it.")]
    queue: Annotated[str, Field(description="The queue it waits in.")]
    state: JobState
    done: Annotated[
        bool, Field(description="True for completed, failed and cancelled: nothing changes any more.")
    ]
    params: Annotated[dict[str, JsonValue], Field(description="The params of the job, defaults filled in.")]
    result: Annotated[JsonValue, Field(description="The result of the handler; null until completed.")] = None
    progress: Annotated[
        Progress | None, Field(description="The last progress that the handler reported.")
    ] = None
    artifacts: Annotated[list[Artifact], Field(description="The files that the job made.")] = []
    errors: Annotated[list[JobError], Field(description="One entry per failed attempt, oldest first.")] = []
    attempt: Annotated[
        int, Field(description="The running attempt, or the last one; 0 before the first.")
    ] = 0
    max_attempts: Annotated[int, Field(description="Attempts after which the job fails for good.")]
    cancel_requested: Annotated[
        bool, Field(description="A running job with this flag is being cancelled.")
    ] = False
    labels: Annotated[dict[str, str], Field(description="As given; lists can be filtered by them.")] = {}
    webhook: Annotated[
        JobWebhook | None, Field(description="The receiver of the record once the job has ended.")
    ] = None
    retry_of: Annotated[str | None, Field(description="The finished job that this one repeats.")] = None
    caller: Annotated[str | None, Field(description="The name of the API key that submitted it.")] = None
    version: Annotated[int, Field(description="Rises by one at every change.")]
    created_at: Annotated[datetime, Field(description="When the job was accepted.")]
    run_at: Annotated[
        datetime | None, Field(description="A pending job does not start before this time.")
    ] = None
    start_by: Annotated[
        datetime | None, Field(description="A job that has not started by this time fails.")
    ] = None
    started_at: Annotated[
        datetime | None, Field(description="When the running, or last, attempt started.")
    ] = None
    finished_at: Annotated[datetime | None, Field(description="When it became done.")] = None
    expires_at: Annotated[
        datetime | None, Field(description="When the record of a finished job is dropped.")
    ] = None
    queue_position: Annotated[
        int | None,
        Field(
            description="The position of a due, pending job in its queue, from 1; with shards an estimate, "
            "and beside it is `queue_position_estimated`."
        ),
    ] = None
    queue_position_estimated: Annotated[
        bool,
        Field(
            description="True beside a `queue_position` that is an estimate: as if each shard had as "
            "many jobs before this one as its own shard has. Absent otherwise.",
            exclude_if=lambda estimated: not estimated,
        ),
    ] = False
    estimated_wait_seconds: Annotated[
        float | None,
        Field(description="An estimate, from the rate at which jobs have ended in the last minute."),
    ] = None
    queue_paused: Annotated[
        bool, Field(description="A pending job with this flag does not start before its queue is resumed.")
    ] = False


def _without_payload(schema: dict[str, Any]) -> None:
    """Make the payload optional in the schema of a summary."""
    for name in PAYLOAD:
        schema["required"].remove(name)
        schema["properties"][name].pop("default")


class JobSummary(JobRecord):
    """A job in a list, with params and result if the request asked for them."""

    model_config = ConfigDict(json_schema_extra=_without_payload)

    params: Annotated[
        dict[str, JsonValue], Field(description="The params of the job, with `fields=params`.")
    ] = {}
    result: Annotated[
        JsonValue, Field(description="The result of the handler, with `fields=result`; null until completed.")
    ] = None


class JobReceipt(BaseModel):
    """A job, shown to a caller without the right to read it."""

    job_id: Annotated[str, Field(description="Time-ordered (UUIDv7).")]
    state: JobState
    done: Annotated[bool, Field(description="True for completed, failed and cancelled.")]


class JobReceipts(BaseModel):
    """The jobs of a batch, shown to a caller without the right to read them."""

    items: list[JobReceipt]


def storable(text: str) -> str:
    """Text for a record, cut to MAX_TEXT_LENGTH; characters that UTF-8 can't encode are replaced."""
    return text[:MAX_TEXT_LENGTH].encode("utf-8", "replace").decode()
