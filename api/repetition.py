"""The repetition of an ended job: a new job with the same type, params, labels, webhook and files."""

import orjson
from starlette.requests import Request

from api.ownership import may_read
from api.request import request_id
from api.state import state_of
from shared.errors import UnknownJobType
from shared.store.submission import NewJob
from shared.stored_record import StoredRecord
from shared.traces.context import trace_context


def repetition(request: Request, old: StoredRecord, key: str | None, *, caller: str | None) -> NewJob:
    """The new job of an ended one.

    Args:
        key: its idempotency key.
        caller: the caller that it counts for.

    Raises:
        UnknownJobType: the server has lost the job type meanwhile.
        WebhooksDisabled: the server sends no webhooks any more.
        InvalidRequest: the receiver of its webhook is not allowed any more.
    """
    state = state_of(request)
    if old.type not in state.job_types:
        shown = repr(old.type) if may_read(request, old.caller) else "of that job"
        raise UnknownJobType(f"This server has no job type {shown} any more.")
    if old.webhook:
        state.submissions.require_webhook_allowed(old.webhook)
    return NewJob(
        state.job_types[old.type],
        old.fields[b"params"],
        request_id.get(),
        caller,
        key,
        labels=orjson.loads(old.fields.get(b"labels", b"{}")),
        retry_of=old.job_id,
        webhook=old.webhook,
        files=old.fields.get(b"files", b"").decode().split(),
        params_shown=old.fields.get(b"params_shown", b""),
        trace=trace_context(request.scope["headers"]),
    )
