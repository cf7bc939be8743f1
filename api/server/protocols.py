"""Bounded connections: uvicorn limits neither the size of a head, nor slow clients, nor open files.

uvicorn chooses its protocol class before it loads the app, so `bound_connections` lets those classes make
the bounded ones of this module, for apps whose lifespan state holds `connections`. That works however uvicorn
is started.
"""

import asyncio
import time
from contextvars import copy_context
from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import BadRequest, HeadTooLarge, RequestTimeout, TooManyConnections, error_response
from api.middleware.body_limit import FILE_PATHS
from api.request import HEAD, REQUEST_ID, choose_request_id, request_id
from api.server.answer_writer import AnswerWriter
from api.server.connections import STEP, Connections, Wait
from shared.errors import JobServerError
from shared.logging import get_log

CONNECTIONS = "connections"  # the name in the lifespan's state
TURN_SECONDS = 0.005  # then a connection with more bytes lets the others have their turn

log = get_log(__name__)


class HeldFlow(FlowControl):
    """Flow control of uvicorn that can hold back reading, though uvicorn resumes it meanwhile."""

    _held = False
    _wanted = True

    def hold(self) -> None:
        self._wanted = not self.read_paused
        self._held = True
        super().pause_reading()

    def release(self) -> None:
        self._held = False
        if self._wanted:
            super().resume_reading()

    def pause_reading(self) -> None:
        self._wanted = False
        super().pause_reading()

    def resume_reading(self) -> None:
        self._wanted = True
        if not self._held:
            super().resume_reading()


class Bounded(asyncio.Protocol):
    """The part of a bounded connection, a `Connection`, that does not depend on the parser."""

    app_state: dict[str, Any]
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    flow: FlowControl
    cycle: Any
    server_state: Any

    last_wait: tuple[Wait, object] | None = None
    waits_since = 0.0
    _all: Connections
    _refused = False
    _rest = b""  # bytes to be fed after the turn of other connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.flow = self._held_flow = HeldFlow(self.transport)
        self._all = self.app_state[CONNECTIONS]
        if not self._all.admit(self):
            self.turn_away()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._rest:
            self._rest += data
        elif len(data) <= STEP:
            self._feed(data)
        else:
            self._feed_in_steps(data)

    def _feed(self, data: bytes | memoryview) -> None:
        """Give bytes to the parser."""
        raise NotImplementedError

    def _feed_in_steps(self, data: bytes) -> None:
        """Feed the parser for a short time: a read full of one-byte chunks takes it 200 ms."""
        view, begun = memoryview(data), time.perf_counter()
        while view and not self._refused and not self.transport.is_closing():
            self._feed(view[:STEP])
            view = view[STEP:]
            if view and time.perf_counter() - begun > TURN_SECONDS:
                self._rest = bytes(view)
                self._held_flow.hold()
                self.loop.call_soon(self._feed_rest)
                return

    def _feed_rest(self) -> None:
        data, self._rest = self._rest, b""
        self._held_flow.release()
        self._feed_in_steps(data)

    def shutdown(self) -> None:
        """Close the connection once its answer is sent; a refused connection at once."""
        if self._refused and not self._answering():
            self.transport.close()
        else:
            super().shutdown()  # type: ignore[misc]

    def send_400_response(self, msg: str) -> None:
        """Answer 400 with an envelope, in place of the parser's plain text."""
        self._refuse(BadRequest("The request is not valid HTTP/1.1."))

    def turn_away(self) -> None:
        self._refused = True
        self.transport.write(self._envelope(TooManyConnections("The server has no free connections.")))
        self.transport.close()

    def wait(self) -> tuple[Wait, object] | None:
        cycle = self.cycle
        if self._refused and not self._answering():
            return Wait.LEAVING, None
        if self.flow.write_paused or self.transport.is_closing():
            return Wait.READING, self.transport.get_write_buffer_size()
        if cycle is not None and cycle.more_body:
            takes_time = cycle.scope["path"] in FILE_PATHS and not cycle.response_complete
            return None if takes_time else (Wait.BODY, cycle)
        if cycle is not None and not cycle.response_complete:
            return None
        if self._in_head():
            return Wait.HEAD, cycle
        return None if cycle else (Wait.FIRST_BYTE, None)  # uvicorn closes idle ones after their first reply

    def end(self, wait: Wait) -> None:
        limits = self._all.limits
        if wait is Wait.HEAD:
            self._refuse(RequestTimeout(f"The head was not complete within {limits.head_seconds:g} s."))
        elif wait is Wait.BODY:
            self._refuse(RequestTimeout(f"The body was not complete within {limits.body_seconds:g} s."))
        elif wait is Wait.FIRST_BYTE:
            self.transport.close()
        else:
            self.transport.abort()

    def _in_head(self) -> bool:
        raise NotImplementedError

    def _queued(self) -> bool:
        """Whether pipelined requests wait for earlier answers."""
        return False

    def _answering(self) -> bool:
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.disconnected

    def _refuse(self, error: JobServerError) -> None:
        """Read no more, answer with the error if no other answer has begun, and close."""
        self._refused = True
        cycle = self.cycle
        if self._answering():
            if not cycle.more_body or self._queued():
                cycle.keep_alive = False  # the answers to complete requests go out, then uvicorn closes
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        elif cycle is not None and cycle.more_body:  # it has been answered before its body was complete
            self.transport.close()
            return
        self.transport.write(self._envelope(error))
        if self.transport.can_write_eof():
            self.transport.write_eof()  # to close now would reset the connection, and lose the answer
        else:
            self.transport.close()

    def _envelope(self, error: JobServerError) -> bytes:
        """An error as a whole HTTP response."""
        response, name = copy_context().run(self._render, error)
        lines = [STATUS_LINE[response.status_code]]
        fields = [*self.server_state.default_headers, *response.raw_headers, (REQUEST_ID, name.encode())]
        lines += [b"%s: %s\r\n" % field for field in fields]
        if not any(field == b"connection" for field, _ in response.raw_headers):
            lines.append(b"connection: close\r\n")
        return b"".join([*lines, b"\r\n", response.body])

    def _render(self, error: JobServerError) -> tuple[Response, str]:
        name = choose_request_id([])
        request_id.set(name)
        response = error_response(error)
        if not isinstance(error, TooManyConnections):  # `Connections` logs one line for all of them
            peer = self.transport.get_extra_info("peername")
            client = peer[0] if isinstance(peer, tuple) else None
            log.info(
                "request refused",
                request_id=name,
                status=response.status_code,
                code=error.code,
                client=client,
            )
        return response, name


class BoundedHttpTools(Bounded, HttpToolsProtocol):
    """A bounded connection of uvicorn's usual parser, which itself takes heads of any size."""

    _unproductive = 0  # bytes since the last head was complete, or since the last piece of its body

    def data_received(self, data: bytes) -> None:
        size = self._unproductive + len(data)
        if size <= self._all.usual_bytes and not self._rest and not self._refused:
            self._unproductive = size
            HttpToolsProtocol.data_received(self, data)
        else:
            super().data_received(data)

    def _feed(self, data: bytes | memoryview) -> None:
        """Feed the parser, within the bound of bytes without progress."""
        most = self._all.limits.head_bytes
        while len(data) + self._unproductive > most and not self._refused:
            room = most - self._unproductive
            if not room:
                self._refuse(HeadTooLarge(f"The head is larger than {most} bytes."))
                return
            self._parse(data[:room])
            data = data[room:]
        if not self._refused:
            self._parse(data)

    def _parse(self, data: bytes | memoryview) -> None:
        self._unproductive += len(data)
        HttpToolsProtocol.data_received(self, data)  # type: ignore[arg-type]

    def on_headers_complete(self) -> None:
        self._unproductive = 0
        self._all.new.pop(self, None)
        if len(self.pipeline) >= self._all.limits.pipelined:
            raise ValueError("too many pipelined requests")  # which ends the connection after those before
        super().on_headers_complete()
        if self.scope["method"] != HEAD:  # whose answer ends with the head
            self.cycle.transport = AnswerWriter(self.transport)

    def on_body(self, body: bytes) -> None:
        self._unproductive = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unproductive = 0
        super().on_message_complete()

    def _in_head(self) -> bool:
        return self._unproductive > 0

    def _queued(self) -> bool:
        return bool(self.pipeline)

    def _should_upgrade_to_ws(self) -> bool:
        return False  # no route is a WebSocket, and such a connection would leave the count

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: any client can ask for an upgrade, as often as it likes."""


class BoundedH11(Bounded, H11Protocol):
    """A bounded connection of h11, the parser in pure Python, which limits the size of a head itself."""

    def __init__(self, config: Any, *arguments: Any, **options: Any) -> None:
        if config.h11_max_incomplete_event_size is None:
            config.h11_max_incomplete_event_size = options["app_state"][CONNECTIONS].limits.head_bytes
        super().__init__(config, *arguments, **options)

    def _feed(self, data: bytes | memoryview) -> None:
        H11Protocol.data_received(self, data)  # type: ignore[arg-type]
        if self.cycle is not None:
            self._all.new.pop(self, None)

    def send_400_response(self, msg: str) -> None:
        most = self._all.limits.head_bytes
        if len(self.conn.trailing_data[0]) > most:
            self._refuse(HeadTooLarge(f"The head is larger than {most} bytes."))
        else:
            super().send_400_response(msg)

    def _in_head(self) -> bool:
        return bool(self.conn.trailing_data[0])

    def _should_upgrade(self) -> bool:
        return False  # no route is a WebSocket


def bound_connections() -> None:
    """Let uvicorn make bounded connections for every app whose lifespan state holds `connections`."""
    _let_make(HttpToolsProtocol, BoundedHttpTools)
    _let_make(H11Protocol, BoundedH11)


def _let_make(plain: type[asyncio.Protocol], bounded: type[asyncio.Protocol]) -> None:
    def make(cls: type[asyncio.Protocol], *_: Any, app_state: dict[str, Any], **__: Any) -> asyncio.Protocol:
        return object.__new__(bounded if cls is plain and CONNECTIONS in app_state else cls)

    plain.__new__ = make  # type: ignore[assignment,method-assign]
