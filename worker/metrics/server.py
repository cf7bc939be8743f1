"""MetricsServer: the HTTP server of a worker's metrics."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from shared.metrics.metric_set import CONTENT_TYPE

MOST_CONNECTIONS = 16  # at once; Prometheus needs one
HEAD_BYTES = 16_384
PATIENCE = 5.0  # seconds in which a request must have come, and its answer be read
PATH = b"/metrics"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the port.

    Raises:
        OSError: the port is in use, or the host is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        raise OSError(
            f"can't listen on {host}:{port} ({reason}); choose a free port for each worker, and "
            "an address of this machine in WORKER_METRICS_HOST"
        ) from error


class MetricsServer:
    """Answers GET /metrics on a socket that listens, one request for each connection.

    Args:
        listener: the socket; bound before the worker starts, so that a port in use ends the process at once.
        text: returns the metrics.
    """

    def __init__(self, listener: socket.socket, text: Callable[[], bytes]) -> None:
        self._listener = listener
        self._text = text
        self._open = 0

    async def run(self) -> None:
        """Serve until cancelled."""
        server = await asyncio.start_server(self._serve, sock=self._listener.dup(), limit=HEAD_BYTES)
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        try:
            with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
                    if not writer.is_closing():  # the client may have gone; uvloop would raise RuntimeError
                        writer.write(self._answer(head))
                        await writer.drain()
        finally:
            self._open -= 1
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, target, *_ = [*head.split(b"\r\n", 1)[0].split(b" "), b"", b""]
        path = target.partition(b"?")[0]
        if path != PATH:
            return _response(404, "Not Found", b"The metrics are at /metrics.\n")
        if method != b"GET":
            return _response(405, "Method Not Allowed", b"Use GET.\n", "Allow: GET\r\n")
        return _response(200, "OK", self._text())


def _response(status: int, reason: str, body: bytes, headers: str = "") -> bytes:
    kind = CONTENT_TYPE if status == 200 else "text/plain; charset=utf-8"
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"{headers}X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
