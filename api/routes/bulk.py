"""Bulk changes: cancel or retry many jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from api.bodies import read_body
from api.bulk import CANCELLABLE, RETRIED, BulkResult, decode_place, encode_place
from api.idempotency import idempotency_key
from api.job_filters import JobFilter
from api.repetition import repetition
from api.state import state_of
from shared.answer import ALWAYS_SENT
from shared.errors import InvalidRequest
from shared.record import TERMINAL_STATES
from shared.stored_record import StoredRecord

MAX_IDS = 1000

router = APIRouter(tags=["jobs"])


def _describe_choice(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": ["filter"]}, {"required": ["ids"]}]
    for name in ("filter", "ids"):
        schema["properties"][name] = schema["properties"][name]["anyOf"][0]


class BulkRequest(BaseModel):
    """Jobs to change: those that match `filter`, which is every job if it is empty, or those of `ids`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_describe_choice)

    filter: JobFilter | None = None
    ids: Annotated[list[str] | None, Field(min_length=1, max_length=MAX_IDS)] = None
    dry_run: Annotated[bool, Field(description="Count the jobs, and change none.", strict=True)] = False
    cursor: Annotated[
        str | None, Field(description="The `next_cursor` of the answer before.", max_length=200)
    ] = None

    @field_validator("filter", "ids", mode="before")
    @classmethod
    def _refuse_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null: leave it out")
        return value

    @model_validator(mode="after")
    def _require_one(self) -> "BulkRequest":
        if (self.filter is None) == (self.ids is None):
            raise ValueError("must have either filter or ids")
        return self


class BulkError(BaseModel):
    """The reason why a job was not changed."""

    job_id: str
    code: str
    message: str
    hint: str


class BulkAnswer(BaseModel):
    """The effect of one call. The work of a call is bounded: go on with `next_cursor` until it is null."""

    model_config = ALWAYS_SENT

    matched: Annotated[int, Field(description="Jobs that this call has found.")]
    changed: Annotated[int, Field(description="Jobs that it has cancelled, asked to stop, or repeated.")]
    dry_run: bool
    next_cursor: str | None
    job_ids: Annotated[list[str], Field(description="The new jobs of a retry.")]
    errors: Annotated[list[BulkError], Field(description="Jobs that were not changed, the first 100.")]


@router.post("/jobs/cancel")
async def cancel_jobs(request: Request) -> BulkAnswer:
    """Waiting jobs are cancelled at once, running ones as soon as their handlers have ended."""
    wanted, bulk = await read_body(request, BulkRequest), state_of(request).bulk
    if wanted.ids:
        return _answer(wanted, await bulk.cancel_ids(wanted.ids, dry_run=wanted.dry_run))
    filters = (wanted.filter or JobFilter()).to_filters()
    if filters.state in TERMINAL_STATES:
        raise _wrong_state(f"Jobs that are {filters.state} can't be cancelled.", "pending or running")
    after = decode_place(wanted.cursor, filters, CANCELLABLE)
    return _answer(wanted, await bulk.cancel(filters, after, dry_run=wanted.dry_run))


@router.post("/jobs/retry")
async def retry_jobs(request: Request) -> BulkAnswer:
    """Makes a new job of each, for its caller. Without a state: of those that failed or were cancelled."""
    wanted, bulk = await read_body(request, BulkRequest), state_of(request).bulk
    key = idempotency_key(request)

    async def retry(old: StoredRecord) -> str:
        job = repetition(request, old, key and f"{key}/{old.job_id}", caller=old.caller)
        return (await state_of(request).queue.submit(job)).record.job_id

    if wanted.ids:
        return _answer(wanted, await bulk.retry_ids(wanted.ids, retry, dry_run=wanted.dry_run))
    filters = (wanted.filter or JobFilter()).to_filters()
    if filters.state in CANCELLABLE:
        raise _wrong_state(f"Jobs that are {filters.state} can't be repeated.", "failed or cancelled")
    after = decode_place(wanted.cursor, filters, RETRIED)
    result = await bulk.retry(filters, retry, after, repeatable=key is not None, dry_run=wanted.dry_run)
    return _answer(wanted, result)


def _wrong_state(message: str, states: str) -> InvalidRequest:
    fault = {"path": "filter.state", "message": message, "kind": "wrong_state"}
    return InvalidRequest(message, hint=f"Leave the state out, or name {states}.", details=[fault])


def _answer(wanted: BulkRequest, result: BulkResult) -> BulkAnswer:
    return BulkAnswer(
        matched=result.matched,
        changed=result.changed,
        dry_run=wanted.dry_run,
        next_cursor=encode_place(result.next),
        job_ids=result.job_ids,
        errors=[
            BulkError(job_id=job_id, code=error.code, message=error.message, hint=error.hint)
            for job_id, error in result.errors.items()
        ],
    )
