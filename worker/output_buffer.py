"""OutputBuffer: chunks of a job's output that Redis does not have yet."""

from collections import deque

import orjson

from shared.errors import FinalError

MAX_CHUNK_BYTES = 1 << 16
CHUNK_OVERHEAD = 64  # bytes that Redis needs for a chunk besides its JSON
LARGEST_REPORT = 1 << 18  # bytes of chunks that a report of a running attempt carries


class OutputBuffer:
    """Chunks of an attempt, numbered from 1, until Redis has acknowledged them. All are kept.

    Args:
        most_bytes: the bound of all chunks of the attempt.

    Attributes:
        last: the number of the newest chunk.
    """

    def __init__(self, most_bytes: int) -> None:
        self.last = 0
        self._left = most_bytes
        self._most_bytes = most_bytes
        self._waiting: deque[bytes] = deque()

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, chunk: object) -> None:
        """Add a chunk.

        Raises:
            FinalError: the chunk has no JSON (code `invalid_output`), or is too large, alone or with those
                before it (code `output_too_large`).
        """
        body = encode(chunk)
        self._left -= len(body) + CHUNK_OVERHEAD
        if self._left < 0:
            raise FinalError(
                f"The output has more than {self._most_bytes} bytes; a chunk counts {CHUNK_OVERHEAD} more.",
                code="output_too_large",
                hint="Emit fewer and larger chunks or less in all, or raise WORKER_MAX_RESULT_BYTES.",
            )
        self._waiting.append(body)
        self.last += 1

    def numbered(self, *, whole: bool) -> tuple[bytes, int]:
        """The waiting chunks as `append_output` takes them, and the number of the last one.

        Args:
            whole: all of them; else as many as a report carries.
        """
        lines: list[bytes] = []
        number, room = self.last - len(self._waiting), LARGEST_REPORT
        for body in self._waiting:
            room -= len(body)
            if room < 0 and lines and not whole:
                break
            number += 1
            lines.append(b"%d %b" % (number, body))
        return b"\n".join(lines), number

    def acknowledge(self, last: int) -> None:
        """Forget the chunks up to that number, which have arrived."""
        while self._waiting and self.last - len(self._waiting) < last:
            self._waiting.popleft()


def encode(chunk: object) -> bytes:
    """A chunk as JSON. Raises FinalError."""
    try:
        body = orjson.dumps(chunk)
    except TypeError as error:
        raise FinalError(
            f"A chunk of the output can't be written as JSON: {error}.",
            code="invalid_output",
            hint="Emit text, numbers, lists or dicts with text as keys.",
        ) from None
    if len(body) > MAX_CHUNK_BYTES:
        raise FinalError(
            f"A chunk of the output has {len(body)} bytes; {MAX_CHUNK_BYTES} are allowed.",
            code="output_too_large",
            hint="Emit it in smaller chunks, or save it as an artifact.",
        )
    return body
