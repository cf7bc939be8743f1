"""Server-sent events: the bytes of a `text/event-stream` as events, however they are cut into chunks."""

import re
from dataclasses import dataclass

# httpx's own lines end at U+2028 and at form feeds too, which may stand in a record; those of a stream
# do not. A carriage return at the end of a chunk may be half of a line's end: it waits for the other half.
LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is the last one that the stream named, up to here."""

    id: str
    kind: str
    data: str


class EventReader:
    """Reads one connection's stream.

    Attributes:
        last_id: the id of the last event that was whole: what Last-Event-ID is to say next time.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = self._id = last_id
        self._rest = b""
        self._kind = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that end within this chunk."""
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
