"""What happens to every request before and after its route: pure ASGI."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.decoding import ACCEPTED, coding_of, decoding
from api.errors import (
    PayloadTooLarge,
    ServerBusy,
    UnsupportedMediaType,
    error_response,
    internal_error,
)
from api.large_answers import LARGE, AnswerDropped, LargeAnswers
from api.request_id import HEADER, choose, request_id
from shared.logging import get_log, log_context

BODILESS = {"GET", "HEAD"}  # what they bring is never read
FILE_PATHS = {"/files", "/v1/files"}

NO_SNIFFING = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")
Headers = list[tuple[bytes, bytes]]

log = get_log(__name__)


class RequestContext:
    """Names the request, logs it, and answers for a server that failed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._large = LargeAnswers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        name = choose(scope["headers"])
        request_id.set(name)
        log_context.set({"request_id": name})
        status = 0
        start: Message | None = None  # held until it is known whether there is room for the body

        async def send_named(message: Message) -> None:
            nonlocal status, start
            if message["type"] == "http.response.start":
                start = message
                return
            large = len(message.get("body", b"")) > LARGE
            if start is not None:
                if large and not self._large.has_room(len(message["body"])):
                    start, message, large = *busy(), False
                status = start["status"]
                own = start["headers"]
                start["headers"] = [*own, (HEADER, name.encode()), *_further_headers(scope, own)]
                await send(start)
                start = None
            await (self._large.send(message, send) if large else send(message))

        try:
            await self._app(scope, receive, send_named)
        except AnswerDropped as error:
            log.warning("answer dropped", path=scope["path"], reason=str(error))
        except Exception:
            log.exception("request failed", method=scope["method"], path=scope["path"])
            if status == 0:
                await internal_error()(scope, receive, send_named)
        log.info(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            duration=round(time.perf_counter() - started, 4),
            client=scope["client"][0] if scope.get("client") else None,
        )


def busy() -> tuple[Message, Message]:
    """The messages of the answer in place of a large one, for which there is no room."""
    answer = error_response(ServerBusy("The server holds as many large answers as it can."))
    start = {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
    return start, {"type": "http.response.body", "body": answer.body}


def _further_headers(scope: Scope, headers: Headers) -> Headers:
    """Headers for browsers. An answer is kept by no cache, unless it says itself how it may be kept."""
    further = [NO_SNIFFING, *scope.get("answer_headers", ())]
    for name, _ in headers:
        if name == b"cache-control":
            return further
    return [*further, NO_STORE]


class BodyLimit:
    """Refuses bodies above a limit: by their Content-Length before a byte is read, else while they arrive.

    A body in a content coding is decoded, and its decoded bytes are held to the same limit.

    Args:
        app: what lies behind.
        max_bytes: the limit.
        max_file_bytes: that of the paths which take files.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_file_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in BODILESS:
            await self._app(scope, receive, send)
            return
        limit = self._max_file_bytes if scope["path"] in FILE_PATHS else self._max_bytes
        codings = []
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                await error_response(_too_large(limit))(scope, receive, send)
                return
            if name == b"content-encoding":
                codings.append(value)
            elif name == b"transfer-encoding" and value.lower() != b"chunked":
                codings.append(value.lower().replace(b"chunked", b""))  # servers undo that one alone
        body = _limited(receive, limit)
        if codings:
            try:
                coding = coding_of(codings)
            except UnsupportedMediaType as error:
                await error_response(error, ACCEPTED)(scope, receive, send)
                return
            if coding:
                body = _limited(decoding(body, coding), limit)
        await self._app(scope, body, send)


def _limited(receive: Receive, limit: int) -> Receive:
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        return message

    return receive_limited


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes.")
