"""Waiting for a job's end: `?wait=N` and `Prefer: wait=N`."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.requests import Request
from starlette.types import Receive

from api.request import elements, list_header, name_and_value, query_parameter
from api.state import state_of
from shared.errors import InvalidRequest
from shared.store.changes import Watch
from shared.stored_record import StoredRecord

MAX_WAIT = 60
SECONDS = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
WHOLE_SECONDS = re.compile(r"[0-9]+")


def requested_wait(request: Request) -> float | None:
    """The seconds to wait, by the query, else by the preference, which is cut at 60; None without either.

    Raises:
        InvalidRequest: the query parameter is no number from 0 to 60, or was sent more than once.
    """
    given = query_parameter(request, "wait")
    if given is not None:
        if SECONDS.fullmatch(given) and 0 <= float(given) <= MAX_WAIT:
            return float(given)
        message = f"Must be a number of seconds from 0 to {MAX_WAIT}."
        raise InvalidRequest(
            f"The query parameter wait: {message}",
            details=[{"path": "wait", "message": message, "kind": "wait_out_of_range"}],
        )
    listed = list_header(request, b"prefer")
    return None if listed is None else preferred_wait(listed)


def preferred_wait(preferences: str) -> int | None:
    """The seconds, 60 at most, of the first `wait` in a list of preferences (RFC 7240); None without one.

    Parameters of other preferences, and quoted text in them, are no `wait`.
    """
    for preference in elements(preferences):
        name, value = name_and_value(next(iter(elements(preference, ";")), ""))
        if name == "wait":
            digits = value.lstrip("0")[:9] or "0"  # Python reads 4,300 digits at most
            return min(int(digits), MAX_WAIT) if WHOLE_SECONDS.fullmatch(value) else None
    return None


async def until_done(
    request: Request, job_id: str, seconds: float, *, owner: str | None = None
) -> StoredRecord:
    """The record once the job is done, the time is over, the client disconnects or this process ends.

    Args:
        owner: the caller that the request is limited to.

    Raises:
        JobNotFound, QueueUnavailable: as reading it does.
    """
    state = state_of(request)
    changes = state.changes

    async def read() -> StoredRecord:
        async with changes.turns:
            return await state.queue.get(job_id, owner=owner)

    async with changes.watch(job_id, only_done=True) as watch, ended_by_disconnect(request.receive, watch):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    record = await read()
                    if record.done or watch.over:
                        return record
                    await watch.changed()
    return await read()


@asynccontextmanager
async def ended_by_disconnect(receive: Receive, watch: Watch) -> AsyncIterator[None]:
    """Within the block, end the watch when the client disconnects."""

    async def leave() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        watch.end()

    leaving = asyncio.create_task(leave())
    try:
        yield
    finally:
        leaving.cancel()
