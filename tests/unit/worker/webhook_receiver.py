"""A receiver of webhooks on loopback, and attempts to deliver to it."""

import asyncio
import hmac
import json
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import JobFailure
from shared.webhooks.delivery import Delivered
from worker.webhooks.deliverer import Deliverer

SECRETS = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + b64encode(b"k" * 32).decode()]
LOOPBACK = [ip_network("127.0.0.0/8")]
FIELDS = {
    "type": "echo",
    "queue": "default",
    "state": "completed",
    "params": '{"message":"ü"}',
    "result": '{"message": "ü"}',
    "max_attempts": "3",
    "version": "3",
    "webhook": "https://example.com/hook",
    "created_at": "1767268800002",
    "started_at": "1767268801500",
    "finished_at": "1767268802345",
}
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def answering(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Receiver:
    """Takes webhooks, and answers each with the next of `answers`."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.tasks: list[Any] = []
        self.names: list[str] = []  # that TLS was asked for
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *lines = head.decode().split("\r\n")[:-2]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append((line, headers, body))
                answer = self.answers.pop(0) if self.answers else OK
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def listen(self, context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            self.url = f"{'https' if context else 'http'}://127.0.0.1:{port}/hook?a=b"
            yield
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)


async def deliver(
    deliverer: Deliverer, url: str, *, attempt: int = 1, ended_at: float | None = None, **fields: str
) -> Delivered:
    """Make an attempt, as the worker does."""
    handler = deliverer.handler()
    given = {
        "job_id": "a-job",
        "url": url,
        "fields": FIELDS | fields,
        "ended_at": round((ended_at or time.time()) * 1000),
    }
    params = handler.validate(json.dumps(given).encode())
    delivered: Delivered = await handler.perform(params, SimpleNamespace(attempt=attempt))  # type: ignore[arg-type]
    assert json.loads(handler.encode(delivered)) == {"status": delivered.status, "seconds": delivered.seconds}
    return delivered


async def failure(deliverer: Deliverer, url: str, **given: Any) -> JobFailure:
    with pytest.raises(JobFailure) as caught:
        await deliver(deliverer, url, **given)
    assert caught.value.hint
    return caught.value


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver would verify a signature."""
    key = b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = b64encode(hmac.new(key, signed, sha256).digest()).decode()
    return f"v1,{expected}" in headers["webhook-signature"].split(" ")


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
