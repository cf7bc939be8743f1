"""Large answers: sent in pieces, within a bound on the bytes that this process holds for slow readers."""

from starlette.types import Message, Send

LARGE = 256 * 1024  # bytes
PIECE = 64 * 1024
MAX_HELD = 128 * 1024 * 1024  # a container of 512 MiB holds this, and each once more while it is made


class AnswerDropped(Exception):
    """The rest of an answer is not sent: there is no room for it."""


class LargeAnswers:
    """Large bodies that this process holds until their readers have taken them.

    The sweep of `api/server/connections.py` ends the connection of a reader that takes nothing for 30 s. The
    server drops the other pieces of that answer, and so the room is free again.

    Args:
        most: bytes held at most, unless a single body is larger.
    """

    def __init__(self, most: int = MAX_HELD) -> None:
        self._most = most
        self._held = 0

    def has_room(self, size: int) -> bool:
        """Whether another body of `size` bytes may be held."""
        return self._held == 0 or self._held + size <= self._most

    async def send(self, message: Message, send: Send) -> None:
        """Send a message with a large body.

        Raises:
            AnswerDropped: there is no room for the body.
        """
        body = message["body"]
        if not self.has_room(len(body)):
            raise AnswerDropped("There is no room for the answer.")
        self._held += len(body)
        try:
            for start in range(0, len(body), PIECE):
                more = message.get("more_body", False) or start + PIECE < len(body)
                await send({**message, "body": body[start : start + PIECE], "more_body": more})
        finally:
            self._held -= len(body)
