"""What a job's handler wrote down."""

import re
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.openapi import errors, parameter
from shared.errors import InvalidRequest, QueueUnavailable
from shared.job_log import LogLine, StoredLine
from shared.store.job_store import expired, not_found

JOB_ID = "019ab1c2-7d10-7c4e-9a55-3f5b8f0e6d21"
NUMBER = re.compile(r"[0-9]{1,15}")

router = APIRouter(tags=["jobs"])


class JobLog(BaseModel):
    items: list[LogLine]
    total: Annotated[int, Field(ge=0, description="Lines written in all; the last of them are kept.")]


@router.get(
    "/jobs/{job_id}/logs",
    summary="Read a job's log",
    response_model=JobLog,
    responses=errors(
        not_found(JOB_ID),
        expired(JOB_ID),
        InvalidRequest("The query parameter after: Must be a line's number."),
        QueueUnavailable("Redis does not answer."),
    ),
    openapi_extra={
        "parameters": [
            parameter(
                "after", "query", "Only lines beyond this `seq`.", type="integer", minimum=0, maximum=2**53
            )
        ]
    },
)
async def read_log(
    request: Request, job_id: Annotated[str, Path(description="The `job_id` of the record.")]
) -> Response:
    """The last 1,000 lines, oldest first. To follow it, ask for what comes after the last `seq`."""
    log = await request.state.queue.store.logs(job_id, after=_after(request))
    items = b",".join(StoredLine(line).to_json() for line in log.lines)
    return Response(b'{"items":[%b],"total":%d}' % (items, log.total), media_type="application/json")


def _after(request: Request) -> int:
    given = request.query_params.get("after", "0")
    if NUMBER.fullmatch(given):
        return int(given)
    message = "Must be the `seq` of a line, or 0."
    raise InvalidRequest(
        f"The query parameter after: {message}",
        details=[{"path": "after", "message": message, "kind": "not_a_line"}],
    )
