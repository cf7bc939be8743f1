"""The lines that a job logs, made alike in the worker and in its child processes."""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

LONGEST_LINE = 4096  # bytes
LONGEST_MESSAGE = 1000  # characters
MOST_LINES = 1000


class Line(NamedTuple):
    """A line that is to be written.

    Attributes:
        at: when it was logged, by the monotonic clock, in seconds.
        body: JSON: `{"message": …, "fields": {…}}`.
    """

    at: float
    body: bytes


class LogBuffer:
    """The lines that have not arrived: the latest MOST_LINES, and how many before them had to go.

    Attributes:
        last: the number of the newest line; they are counted from 1.
    """

    def __init__(self) -> None:
        self.last = 0
        self._waiting: deque[Line] = deque(maxlen=MOST_LINES)
        self._arrived = 0

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self._waiting.append(line)
            self.last += 1

    def numbered(self) -> list[tuple[int, Line]]:
        """The lines, oldest first, and in place of those that are missing one that says so."""
        first = self.last - len(self._waiting) + 1
        lines = list(enumerate(self._waiting, first))
        if dropped := first - 1 - self._arrived:
            notice = line_of("Lines were dropped: too many came at once.", {"dropped": dropped})
            lines.insert(0, (first - 1, notice))
        return lines

    def forget(self, last: int) -> None:
        """The lines have arrived, up to that number."""
        self._arrived = max(self._arrived, last)
        while self._waiting and self.last - len(self._waiting) < last:
            self._waiting.popleft()

    def take(self) -> list[Line]:
        """The lines, which are taken to arrive."""
        lines = [line for _, line in self.numbered()]
        self.forget(self.last)
        return lines


def line_of(message: object, fields: Mapping[str, object]) -> Line:
    """A line that can be stored, whatever was given: what JSON lacks becomes its repr; long lines are cut."""
    text = _storable(message)[:LONGEST_MESSAGE]
    try:
        body = _to_json(text, fields)
    except TypeError:  # a loop, half a surrogate pair, a number past 64 bits, a repr that fails
        body = _to_json(text, {_storable(name): _storable_repr(value) for name, value in fields.items()})
    if len(body) > LONGEST_LINE:
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
