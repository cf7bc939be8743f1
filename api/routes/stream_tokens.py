"""Stream tokens: a page with such a token follows a job without a key."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.ownership import owner_read
from api.request import prefix
from api.state import state_of

router = APIRouter(tags=["jobs"])


class StreamToken(BaseModel):
    token: str
    url: Annotated[str, Field(description="The job's stream with the token in it, for `EventSource`.")]
    expires_at: Annotated[datetime, Field(description="End of its validity; open streams go on.")]


@router.post("/jobs/{job_id}/stream-token", response_model=StreamToken)
async def issue_stream_token(request: Request, job_id: str) -> Response:
    """A URL for a browser's `EventSource`, which sends no key. The token opens this job's stream alone, for
    ten minutes, and any number of times, so that the browser may reconnect."""
    state = state_of(request)
    await state.queue.get(job_id, owner=owner_read(request))
    token, expiry = await state.stream_tokens.issue(job_id, request.scope.get("caller"))
    fields = {
        "token": token,
        "url": f"{prefix(request)}/jobs/{job_id}/events?token={quote(token)}",
        "expires_at": datetime.fromtimestamp(expiry, UTC),
    }
    return Response(orjson.dumps(fields, option=orjson.OPT_UTC_Z), media_type="application/json")
