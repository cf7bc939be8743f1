"""Large bodies of answers: sent in pieces, so many bytes at once, and only to readers that take them."""

import asyncio

from starlette.types import Message, Send

LARGE = 256 * 1024  # bytes
PIECE = 64 * 1024
MOST_HELD = 128 * 1024 * 1024  # a container of 512 MiB holds this, and each once more while it is made
STALL_SECONDS = 30.0


class AnswerDropped(Exception):
    """The rest of an answer is not sent: its reader has stalled, or there is no room for more."""


class LargeAnswers:
    """The large bodies that this process holds until their readers have taken them.

    Args:
        most: bytes that are held at most, unless a single body is larger.
        stall: seconds within which a reader must take a PIECE.
    """

    def __init__(self, most: int = MOST_HELD, stall: float = STALL_SECONDS) -> None:
        self._most = most
        self._stall = stall
        self._held = 0

    def has_room(self, size: int) -> bool:
        """Whether another body of `size` bytes may be held."""
        return self._held == 0 or self._held + size <= self._most

    async def send(self, message: Message, send: Send) -> None:
        """Send a message with a large body. Raises AnswerDropped."""
        body = message["body"]
        if not self.has_room(len(body)):
            raise AnswerDropped("There is no room for it.")
        self._held += len(body)
        try:
            for start in range(0, len(body), PIECE):
                more = message.get("more_body", False) or start + PIECE < len(body)
                async with asyncio.timeout(self._stall):
                    await send({**message, "body": body[start : start + PIECE], "more_body": more})
        except TimeoutError:
            raise AnswerDropped(f"Its reader took nothing for {self._stall:g} s.") from None
        finally:
            self._held -= len(body)
