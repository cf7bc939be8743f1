"""Streaming over Server-Sent Events: of a job, and of the whole service; a broken stream is resumed."""

import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from client.errors import ServerUnreachable
from client.models.figures import Sampled, ServiceEvent, Snapshot, Unavailable
from client.models.jobs import Job
from client.models.logs import LogLine, OutputChunk
from client.models.record import Record
from client.transport import Transport, job_path, parse

HEARTBEAT = 15.0  # seconds: the server sends something at least so often
RECONNECT_PAUSE = 0.2  # seconds: no tight loop, should a server end every stream at once

# httpx's own lines end at U+2028 and at form feeds too, which may stand in a record; those of a stream
# do not. A carriage return at the end of a chunk may be half of a line's end: it waits for the other half.
LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")

T = TypeVar("T")
Item = Job | LogLine | OutputChunk
Models = Mapping[str, Callable[[Record], T]]
"""Functions that make the models of events, by the kind of the event."""

OF_JOB: Models[Item] = {
    "message": Job.from_record,
    "log": LogLine.from_record,
    "output": OutputChunk.from_record,
}
OF_SERVICE: Models[ServiceEvent] = {
    "figures": Snapshot.from_record,
    "job": Job.from_record,
    "sampled": Sampled.from_record,
    "unavailable": Unavailable.from_record,
}


async def follow(transport: Transport, job: Job | str) -> AsyncGenerator[Item, None]:
    """Yield each change of a job, line of its log and chunk of its output; a broken stream is resumed.

    Each has a number. After a reconnect the server may repeat some: these are skipped.
    """
    last_id, seen = "", {Job: (-1, 0), LogLine: (0, 0), OutputChunk: (0, 0)}
    while True:
        response = await _open(transport, job_path(job, "events"), last_id=last_id)
        if response.status_code == httpx.codes.NO_CONTENT:  # an earlier connection brought the end
            await transport.read(response)
            return
        reader = EventReader(last_id)
        async with aclosing(_items(transport, response, reader, OF_JOB)) as items:
            async for item in items:
                number = _number(item)
                if number > seen[type(item)]:
                    seen[type(item)] = number
                    yield item
                if isinstance(item, Job) and item.done:
                    return
        last_id = reader.last_id
        await transport.sleep(RECONNECT_PAUSE)


def _number(item: Item) -> tuple[int, int]:
    """The number of an item, which rises among those of its kind."""
    match item:
        case Job():
            return item.version, 0
        case LogLine():
            return item.seq, 0
        case OutputChunk():
            return item.run, item.seq


async def service_events(
    transport: Transport, query: Mapping[str, Any]
) -> AsyncGenerator[ServiceEvent, None]:
    """Yield the events of the service without end; a broken stream is opened again."""
    while True:
        response = await _open(transport, "/events", query)
        async with aclosing(_items(transport, response, EventReader(), OF_SERVICE)) as items:
            async for item in items:
                yield item
        await transport.sleep(RECONNECT_PAUSE)


async def _open(
    transport: Transport, path: str, query: Mapping[str, Any] | None = None, *, last_id: str = ""
) -> httpx.Response:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    request = transport.request("GET", path, params=query, headers=headers, hold=2 * HEARTBEAT)
    return await transport.send(request, stream=True)


async def _items(
    transport: Transport, response: httpx.Response, reader: "EventReader", models: Models[T]
) -> AsyncGenerator[T, None]:
    """Yield the events of one connection as models, until it closes; skip those of an unknown kind."""
    try:
        async with aclosing(transport.chunks(response)) as chunks:
            async for chunk in chunks:
                for event in reader.feed(chunk):
                    if event.kind in models:
                        yield parse(event.data, models[event.kind])
    except ServerUnreachable:
        return


@dataclass(frozen=True, slots=True)
class Event:
    """Server-sent event; `id` is the last id in the stream up to here."""

    id: str
    kind: str
    data: str


class EventReader:
    """Parser of one connection's `text/event-stream`, however its bytes are cut into chunks.

    Attributes:
        last_id: the id of the last complete event, for Last-Event-ID of the next connection.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = self._id = last_id
        self._rest = b""
        self._kind = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """Parse a chunk; returns the events that end within it."""
        *lines, self._rest = LINE_END.split(self._rest + chunk)
        events = [self._take(line.decode(errors="replace")) for line in lines]
        return [event for event in events if event is not None]

    def _take(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")  # a comment has the name ""
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._kind = value
            case "id":
                self._id = value
        return None

    def _dispatch(self) -> Event | None:
        data, kind = self._data, self._kind
        self._data, self._kind = [], ""
        self.last_id = self._id
        return Event(self.last_id, kind or "message", "\n".join(data)) if data else None
