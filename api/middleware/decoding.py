"""Decoding of request bodies in gzip or deflate, while they arrive; routes and limits see decoded bytes."""

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.types import Message, Receive

from api.errors import UnsupportedMediaType
from shared.errors import InvalidRequest

CODINGS = ("gzip", "deflate")
ACCEPTED = {"Accept-Encoding": ", ".join(CODINGS)}  # in the answer to another coding (RFC 9110, 15.5.16)
PIECE = 1 << 18  # decoded bytes at once: 1 kB of gzip can be 1 MB of zeros
GZIP = 16 + zlib.MAX_WBITS
ZLIB_METHOD = 8


def coding_of(lines: list[bytes]) -> str | None:
    """The coding in the lines of Content-Encoding; None for a body that is not encoded.

    Raises:
        UnsupportedMediaType: the coding is unknown, or there are several.
    """
    named = [name.strip(" \t").lower() for name in b",".join(lines).decode("latin-1").split(",")]
    codings = [name.removeprefix("x-") for name in named if name not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in CODINGS:
        raise UnsupportedMediaType(
            f"The body is encoded as {', '.join(codings)[:100]!r}.",
            hint="Send it with the header `Content-Encoding: gzip` or `deflate`, or without a coding.",
        )
    return codings[0]


def decoding(receive: Receive, coding: str) -> Receive:
    """Receive the decoded body, piece by piece.

    Raises, when a message is received:
        InvalidRequest: the body is not in this coding, or is cut off.
    """
    pieces = _pieces(receive, coding)

    async def receive_decoded() -> Message:
        piece = await anext(pieces, None)
        return await receive() if piece is None else piece  # after the body comes a disconnect

    return receive_decoded


async def _pieces(receive: Receive, coding: str) -> AsyncIterator[Message]:
    stream = _Stream(coding)
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            yield message
            return
        more = message.get("more_body", False)
        data = message.get("body", b"")
        while data or stream.full:
            piece, data = stream.decode(data)
            if piece:
                yield {"type": "http.request", "body": piece, "more_body": True}
            else:
                await asyncio.sleep(0)  # a body of many empty gzip members must not block the loop
    stream.require_end()
    yield {"type": "http.request", "body": b"", "more_body": False}


class _Stream:
    """Decoder of gzip with one or more members, and of deflate with the header of zlib or raw.

    Attributes:
        full: whether the last piece had the largest size; then more may follow without further data.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._decoder: zlib._Decompress | None = None
        self._begun = False
        self.full = False

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Decode a piece of the body, maybe an empty one; returns it with the rest of the data."""
        if self._decoder is None:
            if self._begun and self._coding != "gzip":
                raise self._broken("it goes on after its end")
            self._begun = True
            self._decoder = zlib.decompressobj(self._window(data[0]))
        try:
            piece = self._decoder.decompress(data, PIECE)
        except zlib.error as error:
            raise self._broken(str(error)) from None
        self.full = len(piece) == PIECE and not self._decoder.eof
        if not self._decoder.eof:
            return piece, self._decoder.unconsumed_tail
        rest, self._decoder = self._decoder.unused_data, None
        return piece, rest

    def require_end(self) -> None:
        """Refuse a body that was cut off; an empty body is valid in any coding."""
        if self._decoder is not None:
            raise self._broken("it ends too early")

    def _window(self, first: int) -> int:
        """The window and format for zlib, by the first byte."""
        if self._coding == "gzip":
            return GZIP
        return zlib.MAX_WBITS if first & 15 == ZLIB_METHOD else -zlib.MAX_WBITS

    def _broken(self, reason: str) -> InvalidRequest:
        message = f"The body is no whole {self._coding} stream: {reason}."
        return InvalidRequest(
            message,
            hint="Encode the body anew, or send it without Content-Encoding.",
            details=[{"path": "body", "message": message, "kind": "invalid_coding"}],
        )
