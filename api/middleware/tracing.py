"""Tracing: the span of each request; absent from a server whose setting TRACES is off."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.auth import is_open
from api.middleware.direct_routes import route_of
from shared.logging import log_context
from shared.traces.context import trace_context

if TYPE_CHECKING:
    from shared.traces.tracer import Span, Tracer

METRICS = "/metrics"
JOBS = ("/jobs", "/v1/jobs")  # looked at first: most requests go there
SERVER_FAULT = 500  # statuses from here on are faults of the server


def is_left_out(path: str) -> bool:
    """Whether requests for a path have no span."""
    return not path.startswith(JOBS) and (is_open(path) or path == METRICS)


class Tracing:
    """Gives requests a span, as far as the sampler wants them, and their log lines the ids of their trace.

    Health checks, metrics, the reference and the dashboard's files have none.
    """

    def __init__(self, app: ASGIApp, tracer: "Tracer") -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_left_out(scope["path"]):
            await self._app(scope, receive, send)
            return
        caller = trace_context(scope["headers"])
        span = self._tracer.begin_request(scope["method"], caller)
        context = span.context if span else caller
        fields = log_context.get()
        if context and fields is not None:  # the fields of this request alone
            fields |= context.log_fields
        if span is None:
            await self._app(scope, receive, send)
        else:
            await self._record(span, scope, receive, send)

    async def _record(self, span: "Span", scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose span is exported."""
        _describe_request(span, scope)

        async def note_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.set({"http.response.status_code": message["status"]})
                if message["status"] >= SERVER_FAULT:
                    span.fail(str(message["status"]))
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        except BaseException as error:
            span.fail(type(error).__name__)
            raise
        finally:
            if route := route_of(scope):
                span.rename(f"{scope['method']} {route}")
                span.set({"http.route": route})
            span.end()


def _describe_request(span: "Span", scope: Scope) -> None:
    """Set the attributes of HTTP's conventions; no query, which may hold a token."""
    span.set({
        "http.request.method": scope["method"],
        "url.scheme": scope["scheme"],
        "url.path": scope["path"],
        "network.protocol.version": scope["http_version"],
    })  # fmt: skip
    if scope.get("client"):
        span.set({"client.address": scope["client"][0]})
