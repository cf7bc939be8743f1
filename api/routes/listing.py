"""Lists of jobs, page by page, with filters and cursors."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from api.ownership import owner_read
from api.request import once, prefix
from api.state import state_of
from shared.errors import InvalidRequest
from shared.record import PAYLOAD, JobState, JobSummary
from shared.store.job_list import Cursor, Filters
from shared.yielding import PART, in_parts

MAX_PAGE = 200
EMPTY = b'{"items":[],"next_cursor":null}'
SCORE = re.compile(r"[0-9]{1,16}")  # milliseconds since the epoch
FIELDS = r"^((params|result)(,(params|result))?)?$"

ONCE = once("state", "type", "limit", "cursor", "fields")

router = APIRouter(tags=["jobs"])


class JobPage(BaseModel):
    items: list[JobSummary]
    next_cursor: Annotated[
        str | None, Field(description="Where the next page begins; null after the last one.")
    ]


@router.get(
    "/jobs",
    response_model=JobPage,
    dependencies=[ONCE],
)
async def list_jobs(
    request: Request,
    state: Annotated[JobState | SkipJsonSchema[None], Query(description="Only jobs in this state.")] = None,
    type: Annotated[str, Query(description="Only jobs of this type.", max_length=64)] = "",  # noqa: A002
    label: Annotated[
        list[Annotated[str, Field(pattern=r"^[^=]+=", max_length=200)]],
        Query(description="Only jobs with this label, as `name=value`; several must all be there."),
    ] = [],  # noqa: B006  # the framework copies it
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
    labels = _labels(label)
    after = _decode_cursor(cursor, state) if cursor else None
    if labels is None:
        return Response(EMPTY, media_type="application/json")
    filters = Filters(state, type, labels, owner_read(request) or "")
    payload = sorted({*fields.split(",")} & {*PAYLOAD})
    page = await state_of(request).queue.page(filters, limit=limit, after=after, payload=payload)
    records = in_parts(page.records, 1 if payload else PART)
    items = [record.to_json(None, prefix(request), payload) async for record in records]
    following = orjson.dumps(_encode_cursor(page.next, state) if page.next else None)
    return Response(
        b'{"items":[%b],"next_cursor":%b}' % (b",".join(items), following), media_type="application/json"
    )


def _labels(pairs: list[str]) -> dict[str, str] | None:
    """The required labels; None if no job can have them all, because a label has one value."""
    wanted = {(name, value) for name, _, value in (pair.partition("=") for pair in pairs)}
    labels = dict(wanted)
    return labels if len(labels) == len(wanted) else None


def _encode_cursor(place: Cursor, state: JobState | None) -> str:
    return urlsafe_b64encode(orjson.dumps([state or "", *place])).decode().rstrip("=")


def _decode_cursor(cursor: str, state: JobState | None) -> Cursor:
    """The position in the list that a cursor encodes.

    Raises:
        InvalidRequest: the cursor is of another list, or malformed.
    """
    try:
        words = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        words = None
    match words:
        case [of_state, str(score), str(last)] if of_state == (state or "") and SCORE.fullmatch(score):
            return score, last
    message = "The cursor is not one that this list gave."
    fault = {"path": "cursor", "message": message, "kind": "invalid_cursor"}
    raise InvalidRequest(message, hint="Leave the cursor out to begin at the newest job.", details=[fault])
