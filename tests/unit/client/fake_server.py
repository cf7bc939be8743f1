"""Fake server with scripted responses, and clients of both faces before it."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

from client import AsyncClient, Client

Scripted = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]

JOB_ID = "019ab1c2-7d10-7c4e-9a55-3f5b8f0e6d21"
BASE: dict[str, Any] = {
    "job_id": JOB_ID,
    "type": "word_count",
    "queue": "default",
    "state": "pending",
    "done": False,
    "params": {"text": "to be"},
    "result": None,
    "progress": None,
    "artifacts": [],
    "errors": [],
    "attempt": 0,
    "max_attempts": 3,
    "cancel_requested": False,
    "labels": {},
    "webhook": None,
    "retry_of": None,
    "version": 1,
    "created_at": "2026-01-01T12:00:00.000000Z",
    "run_at": None,
    "started_at": None,
    "finished_at": None,
    "expires_at": None,
}
FAILURE = {
    "code": "flaky_final",
    "message": "It was asked to fail.",
    "hint": "Ask it for something else.",
    "retryable": False,
    "attempt": 1,
    "at": "2026-01-01T12:00:01.000000Z",
}


def record(state: str = "pending", **fields: Any) -> dict[str, Any]:
    """Record of a job, as the server sends it."""
    return {**BASE, "state": state, "done": state in ("completed", "failed", "cancelled"), **fields}


def job_response(state: str = "pending", status: int = 200, **fields: Any) -> httpx.Response:
    return httpx.Response(status, json=record(state, **fields))


def page_response(*records: dict[str, Any], cursor: str | None = None, **fields: Any) -> httpx.Response:
    return httpx.Response(200, json={"items": list(records), "next_cursor": cursor, **fields})


def error_response(
    status: int, code: str, *, retry_after: str | None = None, **fields: Any
) -> httpx.Response:
    """Response with the envelope of an error."""
    envelope = {
        "code": code,
        "message": f"This is {code}.",
        "hint": "Do something else.",
        "retryable": status in (429, 503),
        "request_id": "r-1",
        "details": [],
        **fields,
    }
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return httpx.Response(status, json=envelope, headers=headers)


def shards_missing(
    *shards: int, effect: str = "Jobs of the others that were cancelled: 7."
) -> httpx.Response:
    """Response of a change that was done without some of 8 shards."""
    message = f"Shards {shards} of 8 do not answer. {effect}"
    details = [
        {"path": f"shards.{shard}", "message": "Its part is left undone.", "kind": "shard_missing"}
        for shard in shards
    ]
    return error_response(503, "queue_unavailable", message=message, details=details, retry_after="1")


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Body of these chunks, after which the connection breaks, unless the body is whole."""

    def __init__(self, *chunks: bytes, whole: bool = False) -> None:
        self._chunks = chunks
        self._whole = whole
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if not self._whole:
            raise httpx.ReadError("the connection broke")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def event(state: str, version: int, **fields: Any) -> bytes:
    """Server-sent event of a change."""
    data = json.dumps(record(state, version=version, **fields), ensure_ascii=False)
    return f"id: {version}\ndata: {data}\n\n".encode()


def log_record(seq: int, message: str = "opened", **fields: Any) -> dict[str, Any]:
    """Line of a log, as the server sends it."""
    return {
        "seq": seq,
        "at": f"2026-01-01T12:00:0{seq}.500000Z",
        "attempt": 1,
        "message": message,
        "fields": fields,
    }


def log_event(seq: int, message: str = "opened", **fields: Any) -> bytes:
    """Server-sent event of a log line."""
    return f"event: log\ndata: {json.dumps(log_record(seq, message, **fields))}\n\n".encode()


def output_event(seq: int, chunk: Any, run: int = 1) -> bytes:
    """Server-sent event of a chunk of output."""
    data = {"run": run, "attempt": run, "seq": seq, "chunk": chunk}
    return f"event: output\ndata: {json.dumps(data)}\n\n".encode()


def queue_record(name: str = "default", **fields: Any) -> dict[str, Any]:
    """Status of a queue, as the server sends it."""
    return {
        "name": name,
        "ready": 12,
        "scheduled": 3,
        "running": 4,
        "backlog": 16,
        "demand": 16,
        "oldest_wait_seconds": 7.5,
        "workers": 2,
        "concurrency": 20,
        "paused": False,
        "pause": None,
        "ended_last_minute": {"completed": 120, "failed": 2, "cancelled": 1},
        **fields,
    }


PAUSED = {"paused": True, "pause": {"by": "ops", "at": "2026-01-01T12:00:00.000000Z", "reason": "disk full"}}


def worker_record(**fields: Any) -> dict[str, Any]:
    """Status of a worker, as the server sends it."""
    return {
        "worker_id": "0a1b2c3d4e5f",
        "host": "node-1",
        "pid": 4711,
        "release": "0.2.0",
        "queues": ["gpu", "default"],
        "concurrency": 10,
        "running": 1,
        "jobs": [
            {
                "job_id": JOB_ID,
                "type": "sleep",
                "queue": "gpu",
                "started_at": "2026-01-01T12:00:01.000000Z",
            }
        ],
        "models": [{"type": "embed", "state": "ready"}],
        "memory_bytes": 61_400_000,
        "started_at": "2026-01-01T11:00:00.000000Z",
        "seen_at": "2026-01-01T12:00:02.000000Z",
        "lease_seconds_left": 12.25,
        **fields,
    }


def event_stream(*chunks: bytes, whole: bool = True) -> httpx.Response:
    """Response with a stream of events, cut into these chunks."""
    headers = {"Content-Type": "text/event-stream; charset=utf-8"}
    return httpx.Response(200, headers=headers, stream=Broken(*chunks, whole=whole))


class FakeServer:
    """Server that sends one response after the other, and keeps the requests."""

    def __init__(self, *responses: Scripted) -> None:
        self._responses = list(responses)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        assert self._responses, f"unexpected request {request.method} {request.url}"
        given = self._responses.pop(0)
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, httpx.Response) else given(request)

    @property
    def request(self) -> httpx.Request:
        """The only request."""
        (request,) = self.requests
        return request

    @property
    def exhausted(self) -> bool:
        return not self._responses

    def keys(self) -> list[str]:
        return [request.headers["Idempotency-Key"] for request in self.requests]

    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


class Clock:
    """Clock of a client, whose time passes in pauses only.

    Attributes:
        pauses: seconds of each.
    """

    def __init__(self) -> None:
        self.time = 1000.0
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds

    def passes(self, seconds: float, given: httpx.Response) -> Callable[[httpx.Request], httpx.Response]:
        """Hold a response for so many seconds."""

        def hold(_: httpx.Request) -> httpx.Response:
            self.time += seconds
            return given

        return hold


ITERATING = ("stream", "follow", "watch", "iter_jobs", "iter_pages", "events")


class Awaited:
    """Blocking client with awaitable methods, so that each test is written once for both faces."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def iterate(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            for item in method(*args, **kwargs):
                yield item

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return iterate if name in ITERATING else call


def connect(face: str, server: FakeServer | httpx.MockTransport, **options: Any) -> Any:
    """Open a client of the server with this face, `Client` or `AsyncClient`."""
    transport = server if isinstance(server, httpx.MockTransport) else httpx.MockTransport(server)
    if face == "Client":
        return Awaited(Client("http://jobs.test", transport=transport, **options))
    return AsyncClient("http://jobs.test", transport=transport, **options)


async def all_of(iteration: Any) -> list[Any]:
    return [item async for item in iteration]
