"""Logs: the lines that a job's handler wrote."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.ownership import owner_read
from api.request import once
from api.state import state_of
from shared.job_log import LogLine, StoredLine

router = APIRouter(tags=["jobs"])


class JobLog(BaseModel):
    items: list[LogLine]
    total: Annotated[int, Field(ge=0, description="Lines written in all; the last of them are kept.")]


@router.get("/jobs/{job_id}/logs", response_model=JobLog, dependencies=[once("after")])
async def read_log(
    request: Request,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only lines beyond this `seq`.")] = 0,
) -> Response:
    """The last 1,000 lines, oldest first. To follow the log, read the lines after the last `seq`."""
    log = await state_of(request).queue.logs(job_id, after=after, owner=owner_read(request))
    items = b",".join(StoredLine(line).to_json() for line in log.lines)
    return Response(b'{"items":[%b],"total":%d}' % (items, log.total), media_type="application/json")
