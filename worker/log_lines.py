"""Lines of a job's log, built alike in the worker and in its child processes."""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

MAX_LINE_BYTES = 4096  # bytes
MAX_MESSAGE_LENGTH = 1000  # characters
MAX_UNSENT_LINES = 1000


class Line(NamedTuple):
    """A line of a job's log on its way to Redis.

    Attributes:
        at: the time of logging, by the monotonic clock, in seconds.
        body: JSON: `{"message": …, "fields": {…}}`.
    """

    at: float
    body: bytes


class LogBuffer:
    """Buffer of the lines that Redis has not acknowledged: the latest MAX_UNSENT_LINES of them.

    Attributes:
        last: the number of the newest line; lines are counted from 1.
    """

    def __init__(self) -> None:
        self.last = 0
        self._waiting: deque[Line] = deque(maxlen=MAX_UNSENT_LINES)
        self._acknowledged = 0

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self._waiting.append(line)
            self.last += 1

    def numbered(self) -> list[tuple[int, Line]]:
        """The lines with their numbers, oldest first; a notice stands in place of dropped lines."""
        first = self.last - len(self._waiting) + 1
        lines = list(enumerate(self._waiting, first))
        if dropped := first - 1 - self._acknowledged:
            notice = line_of("Lines were dropped: too many came at once.", {"dropped": dropped})
            lines.insert(0, (first - 1, notice))
        return lines

    def acknowledge(self, last: int) -> None:
        """Forget the lines up to that number, which have arrived."""
        self._acknowledged = max(self._acknowledged, last)
        while self._waiting and self.last - len(self._waiting) < last:
            self._waiting.popleft()

    def take(self) -> list[Line]:
        """All lines, which count as acknowledged from now on."""
        lines = [line for _, line in self.numbered()]
        self.acknowledge(self.last)
        return lines


def line_of(message: object, fields: Mapping[str, object]) -> Line:
    """A line that can be stored whatever the values; those that JSON lacks become their repr.

    A line above MAX_LINE_BYTES is cut.
    """
    text = _storable(message)[:MAX_MESSAGE_LENGTH]
    try:
        body = _to_json(text, fields)
    except TypeError:  # a cycle, half a surrogate pair, a number past 64 bits, a repr that fails
        body = _to_json(text, {_storable(name): _storable_repr(value) for name, value in fields.items()})
    if len(body) > MAX_LINE_BYTES:
        body = _to_json(text[:300], {"cut": _storable_repr(fields)[:300]})
    return Line(time.monotonic(), body)


def _to_json(message: str, fields: Mapping[str, object]) -> bytes:
    return orjson.dumps({"message": message, "fields": fields}, default=repr)


def _storable(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()


def _storable_repr(value: object) -> str:
    try:
        return _storable(repr(value))
    except Exception:  # the value's own class may raise whatever it likes
        return f"<{type(value).__name__}>"
