"""Answers of the routes that return one job: its record, or the receipt of a job that stays hidden."""

from starlette.requests import Request
from starlette.responses import Response

from api.conditions import record_tag
from api.ownership import may_read
from api.request import prefix
from api.state import state_of
from api.waiting import until_done
from shared.record import PAYLOAD, Outlook, StoredRecord
from shared.store.submission import Submitted


async def answer_submitted(request: Request, submitted: Submitted, seconds: float | None = None) -> Response:
    """The answer to a submission, once the job is done or the seconds are over."""
    record, replayed = submitted
    headers = {"Location": f"{prefix(request)}/jobs/{record.job_id}", **applied(seconds)}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    if seconds:
        record = await until_done(request, record.job_id, seconds)
    return await answer(request, record, 200 if record.done and seconds is not None else 202, headers)


async def answer(
    request: Request, record: StoredRecord, status: int, headers: dict[str, str] | None = None
) -> Response:
    """A job's record with its entity tag, and the time of the next look at a job that is not done."""
    headers = {**(headers or {}), "ETag": record_tag(record.version)}
    state = state_of(request)
    if record.done:
        state.run_times.note(record)
        return Response(render(request, record), status, headers, "application/json")
    headers["Retry-After"] = str(state.run_times.retry_after(record.type))
    outlook = await state.queue.outlook(record) if record.position else None
    return Response(render(request, record, outlook), status, headers, "application/json")


def render(request: Request, record: StoredRecord, outlook: Outlook | None = None) -> bytes:
    """The record, or the receipt of a job that the caller may not read."""
    if may_read(request, record.caller):
        payload = PAYLOAD if b"params" in record.fields else ()
        return record.to_json(outlook, prefix(request), payload)
    return record.to_receipt()


def applied(seconds: float | None) -> dict[str, str]:
    """The header that grants a wait; none without a wait."""
    return {} if seconds is None else {"Preference-Applied": f"wait={seconds:g}"}
