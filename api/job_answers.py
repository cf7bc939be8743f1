"""Answers with one job: its record, or a receipt for a caller that may not read the record."""

from starlette.requests import Request
from starlette.responses import Response

from api.conditions import record_tag
from api.ownership import may_read
from api.request import prefix
from api.state import state_of
from api.waiting import until_done
from shared.record import PAYLOAD
from shared.store.submission import Submitted
from shared.stored_record import StoredRecord, WaitEstimate


async def answer_submitted(request: Request, submitted: Submitted, seconds: float | None = None) -> Response:
    """Answer a submission, once the job is done or the wait is over."""
    record, replayed = submitted
    headers = {"Location": f"{prefix(request)}/jobs/{record.job_id}", **preference_applied(seconds)}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    if seconds:
        record = await until_done(request, record.job_id, seconds)
    return await answer(request, record, 200 if record.done and seconds is not None else 202, headers)


async def answer(
    request: Request, record: StoredRecord, status: int, headers: dict[str, str] | None = None
) -> Response:
    """Answer with a job's record and entity tag, and with Retry-After unless the job is done."""
    headers = {**(headers or {}), "ETag": record_tag(record.version)}
    state = state_of(request)
    if record.done:
        state.run_times.note(record)
        return Response(render(request, record), status, headers, "application/json")
    headers["Retry-After"] = str(state.run_times.retry_after(record.type))
    estimate = await state.queue.estimate_wait(record) if record.position else None
    return Response(render(request, record, estimate), status, headers, "application/json")


def render(request: Request, record: StoredRecord, estimate: WaitEstimate | None = None) -> bytes:
    """The record as JSON, or a receipt if the caller may not read the job."""
    if may_read(request, record.caller):
        payload = PAYLOAD if b"params" in record.fields else ()
        return record.to_json(estimate, prefix(request), payload)
    return record.to_receipt()


def preference_applied(seconds: float | None) -> dict[str, str]:
    """The header Preference-Applied, for a request with a wait."""
    return {} if seconds is None else {"Preference-Applied": f"wait={seconds:g}"}
