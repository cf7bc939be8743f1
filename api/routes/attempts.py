"""Attempts: when each attempt at a job began and ended, and how."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.ownership import owner_read
from api.state import state_of
from shared.answer import ALWAYS_SENT
from shared.record import JobError, JobRecord, JobState
from shared.stored_record import StoredAttempt, StoredRecord

router = APIRouter(tags=["jobs"])


class AttemptOutcome(StrEnum):
    """The end of an attempt: `lost` with its worker, `released` by a worker that shut down, uncharged."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    RETRIED = "retried"
    RELEASED = "released"
    LOST = "lost"
    CANCELLED = "cancelled"


class Attempt(BaseModel):
    model_config = ALWAYS_SENT

    attempt: Annotated[int, Field(description="Its number; one that was released is not counted.")]
    started_at: datetime
    ended_at: Annotated[datetime | None, Field(description="Null while it runs.")]
    outcome: AttemptOutcome
    worker: Annotated[str | None, Field(description="The `worker_id` of the worker that ran it.")]
    error: Annotated[JobError | None, Field(description="Its error, if it had one.")]


class AttemptList(BaseModel):
    items: list[Attempt]


@router.get("/jobs/{job_id}/attempts")
async def list_attempts(request: Request, job_id: str) -> AttemptList:
    """Oldest first, the running one too. Between two attempts the job has waited."""
    stored = await state_of(request).queue.get(job_id, owner=owner_read(request))
    record = stored.parse()
    items = [_ended(attempt, record) for attempt in stored.attempts]
    if (last := _last(stored, record)) is not None:
        items.append(last)
    return AttemptList(items=items)


def _ended(attempt: StoredAttempt, record: JobRecord) -> Attempt:
    """An attempt after which the job went back to its queue."""
    error = None
    if attempt.outcome in (AttemptOutcome.RETRIED, AttemptOutcome.LOST):
        error = next((error for error in record.errors if error.at == _time(attempt.ended_at)), None)
    return Attempt(
        attempt=attempt.attempt,
        started_at=_time(attempt.started_at),
        ended_at=_time(attempt.ended_at),
        outcome=AttemptOutcome(attempt.outcome),
        worker=attempt.worker,
        error=error,
    )


def _last(stored: StoredRecord, record: JobRecord) -> Attempt | None:
    """The running attempt, or the one with which the job has ended; None if there is none."""
    if record.state is JobState.PENDING or record.started_at is None:
        return None
    error = record.errors[-1] if record.state is JobState.FAILED and record.errors else None
    lost = error is not None and error.code == "worker_lost"
    return Attempt(
        attempt=record.attempt,
        started_at=record.started_at,
        ended_at=record.finished_at,
        outcome=AttemptOutcome.LOST if lost else AttemptOutcome(record.state),
        worker=stored.worker,
        error=error,
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
