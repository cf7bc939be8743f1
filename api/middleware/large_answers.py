"""Large answers: sent in pieces, within a bound on the bytes held, and to readers that keep a least rate."""

import asyncio

from starlette.types import Message, Send

LARGE = 256 * 1024  # bytes
PIECE = 64 * 1024
MAX_HELD = 128 * 1024 * 1024  # a container of 512 MiB holds this, and each once more while it is made
STALL_SECONDS = 30.0


class AnswerDropped(Exception):
    """The rest of an answer is not sent: the reader is too slow, or there is no room for it."""


class LargeAnswers:
    """Large bodies that this process holds until their readers have taken them.

    Args:
        most: bytes held at most, unless a single body is larger.
        stall: seconds within which a reader must take a PIECE.

    The sweep of `api/server/connections.py` ends connections whose reader takes nothing at all. A reader that
    takes a byte now and then passes it, and would hold its answer for hours: here it needs 2 kB a second.
    """

    def __init__(self, most: int = MAX_HELD, stall: float = STALL_SECONDS) -> None:
        self._most = most
        self._stall = stall
        self._held = 0

    def has_room(self, size: int) -> bool:
        """Whether another body of `size` bytes may be held."""
        return self._held == 0 or self._held + size <= self._most

    async def send(self, message: Message, send: Send) -> None:
        """Send a message with a large body.

        Raises:
            AnswerDropped: the reader is too slow, or there is no room for the body.
        """
        body = message["body"]
        if not self.has_room(len(body)):
            raise AnswerDropped("There is no room for the answer.")
        self._held += len(body)
        try:
            for start in range(0, len(body), PIECE):
                more = message.get("more_body", False) or start + PIECE < len(body)
                async with asyncio.timeout(self._stall):
                    await send({**message, "body": body[start : start + PIECE], "more_body": more})
        except TimeoutError:
            raise AnswerDropped(f"The reader took less than {PIECE} bytes in {self._stall:g} s.") from None
        finally:
            self._held -= len(body)
