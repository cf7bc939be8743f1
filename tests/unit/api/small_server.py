"""A small app on a real uvicorn with bounded connections, and a client on a bare socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from api.server.connections import ConnectionLimits, Connections
from api.server.protocols import CONNECTIONS, bound_connections
from dev.stack import PATIENCE

QUICK: dict[str, Any] = {"head_bytes": 8192, "linger_seconds": 0.2, "sweep_seconds": 0.02}


class SmallServer:
    """A small app on a real uvicorn."""

    def __init__(self, connections: Connections) -> None:
        self.port = 0
        self.connections = connections
        self.holding = asyncio.Event()  # a request to /held is being answered
        self.held = asyncio.Event()
        self._clients: list[Client] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/held":
            self.holding.set()
            await self.held.wait()
        size = 0
        while scope["method"] == "POST":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            if not message["more_body"]:
                break
        body = b"x" * (30_000_000 if scope["path"] == "/large" else 0) or b"%d" % size
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def connect(self) -> "Client":
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    def close(self) -> None:
        self.held.set()
        for client in self._clients:
            client.writer.transport.abort()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next response: its status, headers and body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return (
            int(lines[0].split()[1]),
            headers,
            await self.reader.readexactly(int(headers["content-length"])),
        )

    async def refusal(self) -> tuple[int, str]:
        """Status and code of a refusal, after which the connection must end."""
        status, headers, body = await self.answer()
        envelope = json.loads(body)
        assert set(envelope) == {"code", "message", "hint", "retryable", "request_id", "details"}
        assert headers["content-type"] == "application/json"
        assert headers["connection"] == "close"
        assert headers["x-request-id"] == envelope["request_id"]
        assert envelope["hint"]
        await self.ends()
        return status, envelope["code"]

    async def ends(self) -> None:
        with suppress(ConnectionError):
            assert await self.reader.read() == b""


@asynccontextmanager
async def serving(
    http: str = "httptools", layer: Callable[[ASGIApp], ASGIApp] = lambda app: app, **limits: Any
) -> AsyncIterator[SmallServer]:
    """Within the block, a small server with a layer around its app, and with these limits."""
    bound_connections()
    small = SmallServer(Connections(ConnectionLimits(**{**QUICK, **limits})))
    config = uvicorn.Config(layer(small.app), http=http, interface="asgi3", log_config=None)  # type: ignore[arg-type]
    config.load()
    state = ServerState()

    def connection() -> asyncio.Protocol:
        return config.http_protocol_class(  # type: ignore[call-arg]
            config=config, server_state=state, app_state={CONNECTIONS: small.connections}
        )

    watch = asyncio.create_task(small.connections.keep_sweeping())
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    small.port = server.sockets[0].getsockname()[1]
    try:
        async with asyncio.timeout(20):
            yield small
            small.close()
            await until(lambda: not state.connections and not state.tasks)
    finally:
        watch.cancel()
        server.close()


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)
