"""Output: the chunks that a job's handler streams."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, JsonValue
from starlette.responses import Response

from api.ownership import owner_read
from api.request import once
from api.state import state_of

router = APIRouter(tags=["jobs"])


class OutputChunk(BaseModel):
    """A chunk of a job's output."""

    seq: Annotated[int, Field(ge=1, description="The chunk's number within the run, from 1.")]
    chunk: JsonValue


class JobOutput(BaseModel):
    """Output of a job's latest run. A retry, or a release by a worker that ended, begins a new run."""

    items: list[OutputChunk]
    run: Annotated[int, Field(ge=0, description="The number of the run; 0 before the first.")]
    attempt: Annotated[int, Field(ge=0, description="The attempt that the run makes.")]
    total: Annotated[int, Field(ge=0, description="Chunks of the run so far.")]
    done: Annotated[bool, Field(description="True once the job is done: no chunk follows those of `total`.")]


@router.get(
    "/jobs/{job_id}/output",
    response_model=JobOutput,
    dependencies=[once("after"), once("run")],
)
async def read_output(
    request: Request,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only chunks beyond this `seq`.")] = 0,
    run: Annotated[
        int | None,
        Query(ge=0, le=2**53, description="The run of that `seq`; the output of another run is read whole."),
    ] = None,
) -> Response:
    """Up to 1,000 chunks, oldest first. To follow the output, repeat with the last `run` and `seq`."""
    queue, owner = state_of(request).queue, owner_read(request)
    output = await queue.output(job_id, claim=run or 0, after=after, owner=owner)
    if run is None and after:
        output = await queue.output(job_id, claim=output.claim, after=after, owner=owner)
    items = b",".join(
        b'{"seq":%d,"chunk":%b}' % (seq, chunk) for seq, chunk in enumerate(output.chunks, output.first)
    )
    body = b'{"items":[%b],"run":%d,"attempt":%d,"total":%d,"done":%b}' % (
        items,
        output.claim,
        output.attempt,
        output.total,
        b"true" if output.ended else b"false",
    )
    return Response(body, media_type="application/json")
