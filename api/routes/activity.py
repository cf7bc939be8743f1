"""Activity: one stream of the changes of many jobs, and of figures."""

from functools import partial

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.job_filters import NAMES, RequestedFilters
from api.live_feed import LiveFeed, MakeFigures, Reader
from api.ownership import owner_read
from api.request import head_alone, once, prefix
from api.routes.events import HEADERS, HEARTBEAT, HEARTBEAT_SECONDS, RETRY, CountedStream
from api.routes.figures import live_figures
from api.state import state_of
from api.waiting import ended_by_disconnect
from shared.errors import QueueUnavailable
from shared.store.job_list import Filters

router = APIRouter(tags=["jobs"])


@router.get("/events", response_class=Response, dependencies=[once(*NAMES)])
async def follow_jobs(request: Request, filters: RequestedFilters) -> Response:
    """An event `job` is a changed job that matches, without params and result; `figures` come each second.

    Under load only the newest changes are sent, and `sampled` says how many jobs were left out.
    `unavailable` says that Redis does not answer; the stream goes on once it does. A key that may read the
    caller's own jobs alone gets no figures.
    """
    state = state_of(request)
    make_figures = partial(live_figures, state) if owner_read(request) is None else None
    stream = ActivityStream(state.feed, filters, make_figures, prefix(request))
    return CountedStream(stream, state.quotas)


class ActivityStream(Response):
    """Events of one reader of the feed, until it closes the connection.

    Args:
        filters: of the jobs; None for no job.
        make_figures: makes the figures; None for a reader that gets none.
        prefix: the beginning of the links in the records.
    """

    def __init__(
        self, feed: LiveFeed, filters: Filters | None, make_figures: MakeFigures | None, prefix: str
    ) -> None:
        super().__init__()
        self._feed = feed
        self._filters = filters
        self._make_figures = make_figures
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        if not head_alone(scope):
            await _send(send, RETRY)
            with self._feed.reader(self._filters, self._make_figures) as reader:
                async with ended_by_disconnect(receive, reader.watch):
                    await self._follow(reader, send)
        await send({"type": "http.response.body", "body": b""})

    async def _follow(self, reader: Reader, send: Send) -> None:
        while not reader.watch.over:
            if not await reader.watch.changed(within=HEARTBEAT_SECONDS):
                await _send(send, HEARTBEAT)
                continue
            figures, jobs, missed, fault = reader.take()
            events = [_event(b"job", job.to_json(self._prefix)) for job in jobs]
            if missed:
                events.append(_event(b"sampled", b'{"missed":%d}' % missed))
            if figures is not None:
                events.append(_event(b"figures", figures))
            if fault is not None:
                events.append(_event(b"unavailable", _describe(fault)))
            if events:
                await _send(send, b"".join(events))


def _event(kind: bytes, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind, data)


def _describe(fault: QueueUnavailable) -> bytes:
    return orjson.dumps({"code": fault.code, "message": fault.message, "hint": fault.hint})


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
