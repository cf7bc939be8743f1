"""Compression of answers in gzip, for clients that accept it."""

import re
from functools import lru_cache

from starlette.middleware.gzip import GZipResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.request import elements, name_and_value

MIN_BYTES = 1024  # bytes; below, the head and the work cost more than the bytes that are saved
LEVEL = 1  # a list of 4 MiB: 10 ms and 6.6 % of its bytes; level 6: 21 ms and 5.3 %
MAX_ON_LOOP = 32 * 1024  # 0.3 ms at most; more is compressed in a thread
MAX_HEADER_BYTES = 1024  # bytes of Accept-Encoding; no client sends as many
ZERO = re.compile(r"0(\.0{0,3})?")


class Compression:
    """Compresses answers above 1 kB, except streams of events and answers that are served in ranges.

    A range counts the bytes that the ETag names, before any coding. `LargeAnswers` comes before this layer
    and sends pieces: memory holds the answer uncompressed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            lines = [value for name, value in scope["headers"] if name == b"accept-encoding"]
            if lines:
                accepted = b",".join(lines)
                if len(accepted) <= MAX_HEADER_BYTES and accepts_gzip(accepted):
                    send = self._compressing(send)
        await self._app(scope, receive, send)

    def _compressing(self, send: Send) -> Send:
        start: Message | None = None  # held until the size of the body is known
        forward = send

        async def send_compressed(message: Message) -> None:
            nonlocal start, forward
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                if _pays(start, message):
                    forward = self._responder(send).send_with_compression
                await forward(start)
                start = None
            await forward(message)

        return send_compressed

    def _responder(self, send: Send) -> GZipResponder:
        responder = GZipResponder(self._app, MIN_BYTES, LEVEL, thread_minimum_size=MAX_ON_LOOP)
        responder.send = send
        return responder


def _pays(start: Message, first: Message) -> bool:
    """Whether compression saves bytes: the answer is large enough, and not served in ranges."""
    if len(first.get("body", b"")) < MIN_BYTES and not first.get("more_body", False):
        return False
    return all(name != b"accept-ranges" for name, _ in start["headers"])


@lru_cache(maxsize=64)  # a client sends the same value each time
def accepts_gzip(accepted: bytes) -> bool:
    """Whether Accept-Encoding accepts gzip, by its name or by `*`, with a `q` above 0."""
    weights = {}
    for element in elements(accepted.decode("latin-1")):
        coding, *parameters = elements(element, ";") or [""]
        weights[coding.lower()] = dict(map(name_and_value, parameters)).get("q", "1")
    weight = weights.get("gzip", weights.get("x-gzip", weights.get("*", "0")))
    return ZERO.fullmatch(weight) is None
