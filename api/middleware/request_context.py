"""Context of each request: its id, its log line, headers of all answers, and the answer to a fault."""

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ServerBusy, error_response, internal_error
from api.middleware.large_answers import LARGE, AnswerDropped, LargeAnswers
from api.request import REQUEST_ID, RawHeaders, choose_request_id, request_id
from shared.logging import get_log, log_context

NO_SNIFFING = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")

log = get_log(__name__)


class RequestContext:
    """Gives each request its id, logs it, and answers 500 if the application fails.

    Args:
        on_end: called with the scope, the status and the duration in seconds of each request; the status is 0
            without an answer.
    """

    def __init__(self, app: ASGIApp, on_end: Callable[[Scope, int, float], None] | None = None) -> None:
        self._app = app
        self._on_end = on_end
        self._large = LargeAnswers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        name = choose_request_id(scope["headers"])
        request_id.set(name)
        log_context.set({"request_id": name})
        status = 0
        start: Message | None = None  # held until the size of the body is known

        async def send_named(message: Message) -> None:
            nonlocal status, start
            if message["type"] == "http.response.start":
                start = message
                return
            large = len(message.get("body", b"")) > LARGE
            if start is not None:
                if large and not self._large.has_room(len(message["body"])):
                    start, message, large = *_busy(), False
                status = start["status"]
                own = start["headers"]
                start["headers"] = [*own, (REQUEST_ID, name.encode()), *_further_headers(scope, own)]
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
        if self._on_end is not None:
            self._on_end(scope, status, time.perf_counter() - started)
        _log_request(scope, status, started)


def _log_request(scope: Scope, status: int, started: float) -> None:
    log.info(
        "request",
        method=scope["method"],
        path=scope["path"],
        status=status,
        duration=round(time.perf_counter() - started, 4),
        client=scope["client"][0] if scope.get("client") else None,
    )


def _busy() -> tuple[Message, Message]:
    """The messages of a 503, in place of a large answer for which there is no room."""
    answer = error_response(ServerBusy("The server holds as many large answers as it can."))
    start = {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
    return start, {"type": "http.response.body", "body": answer.body}


def _further_headers(scope: Scope, headers: RawHeaders) -> RawHeaders:
    """Headers for browsers. No cache keeps an answer, unless the answer itself has a Cache-Control."""
    further = [NO_SNIFFING, *scope.get("answer_headers", ())]
    for name, _ in headers:
        if name == b"cache-control":
            return further
    return [*further, NO_STORE]
