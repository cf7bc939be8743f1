"""Lists of jobs, page by page, with filters and cursors."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.cursors import decode_cursor, encode_cursor
from api.job_filters import NAMES, RequestedFilters
from api.request import once, prefix
from api.state import state_of
from shared.record import PAYLOAD, JobSummary
from shared.yielding import PART, in_parts

MAX_PAGE = 200
EMPTY = b'{"items":[],"next_cursor":null,"incomplete":false}'
FIELDS = r"^((params|result)(,(params|result))?)?$"

ONCE = once(*NAMES, "limit", "cursor", "fields")

router = APIRouter(tags=["jobs"])


class JobPage(BaseModel):
    items: list[JobSummary]
    next_cursor: Annotated[
        str | None, Field(description="Where the next page begins; null after the last one.")
    ]
    incomplete: Annotated[
        bool, Field(description="Whether jobs are missing, because a shard of Redis does not answer.")
    ]


@router.get(
    "/jobs",
    response_model=JobPage,
    dependencies=[ONCE],
)
async def list_jobs(
    request: Request,
    filters: RequestedFilters,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Jobs on a page at most.")] = 50,
    cursor: Annotated[str, Query(description="The `next_cursor` of the page before.", max_length=200)] = "",
    fields: Annotated[
        str,
        Query(
            description="What the jobs have besides: `params`, `result` or both, separated by a comma.",
            pattern=FIELDS,
        ),
    ] = "",
) -> Response:
    """Newest first: by creation; with a terminal `state`, by their end; with `pending`, by their due time.

    A page has at most 4 MiB, unless a single job is larger. A short page, or even an empty one, may have a
    next page. Jobs that come or go between two pages do not shift the others.
    """
    if filters is None:
        return Response(EMPTY, media_type="application/json")
    state = filters.state
    after = decode_cursor(cursor, state) if cursor else None
    payload = sorted({*fields.split(",")} & {*PAYLOAD})
    page = await state_of(request).queue.page(filters, limit=limit, after=after, payload=payload)
    records = in_parts(page.records, 1 if payload else PART)
    items = [record.to_json(None, prefix(request), payload) async for record in records]
    following = orjson.dumps(encode_cursor(page.next, state) if page.next else None)
    incomplete = b"true" if page.incomplete else b"false"
    return Response(
        b'{"items":[%b],"next_cursor":%b,"incomplete":%b}' % (b",".join(items), following, incomplete),
        media_type="application/json",
    )
