"""A server that answers the client as a test lays out, and the two faces of the client before it."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

from client import AsyncClient, Client

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]

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
    """A job's record as the server sends it."""
    return {**BASE, "state": state, "done": state in ("completed", "failed", "cancelled"), **fields}


def answer(state: str = "pending", status: int = 200, **fields: Any) -> httpx.Response:
    return httpx.Response(status, json=record(state, **fields))


def page(*records: dict[str, Any], cursor: str | None = None) -> httpx.Response:
    return httpx.Response(200, json={"items": list(records), "next_cursor": cursor})


def refused(status: int, code: str, *, retry_after: str | None = None, **fields: Any) -> httpx.Response:
    """The envelope of an error."""
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


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in these chunks; then the connection breaks, unless it is whole."""

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
    """The event that tells of a change."""
    data = json.dumps(record(state, version=version, **fields), ensure_ascii=False)
    return f"id: {version}\ndata: {data}\n\n".encode()


def line(seq: int, message: str = "opened", **fields: Any) -> dict[str, Any]:
    """A line of a log, as the server sends it."""
    return {
        "seq": seq,
        "at": f"2026-01-01T12:00:0{seq}.500000Z",
        "attempt": 1,
        "message": message,
        "fields": fields,
    }


def log_event(seq: int, message: str = "opened", **fields: Any) -> bytes:
    """The event that tells of a line of the log."""
    return f"event: log\ndata: {json.dumps(line(seq, message, **fields))}\n\n".encode()


def events(*chunks: bytes, whole: bool = True) -> httpx.Response:
    """A stream of events, cut into these chunks."""
    headers = {"Content-Type": "text/event-stream; charset=utf-8"}
    return httpx.Response(200, headers=headers, stream=Broken(*chunks, whole=whole))


class FakeServer:
    """Gives one answer after the other, and keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        assert self._answers, f"nobody expected {request.method} {request.url}"
        given = self._answers.pop(0)
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
        return not self._answers

    def keys(self) -> list[str]:
        return [request.headers["Idempotency-Key"] for request in self.requests]

    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


class Clock:
    """The time of a client: it passes in pauses only.

    Attributes:
        pauses: the seconds of each of them.
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
        """The answer, after the server has held it for so long."""

        def hold(_: httpx.Request) -> httpx.Response:
            self.time += seconds
            return given

        return hold


class Awaited:
    """The blocking client, to be awaited like the other one: so each test is written once."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def iterate(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            for item in method(*args, **kwargs):
                yield item

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return iterate if name in ("stream", "follow", "iter_jobs") else call


def connect(face: str, server: FakeServer | httpx.MockTransport, **options: Any) -> Any:
    """A client of the server with this face, `Client` or `AsyncClient`."""
    transport = server if isinstance(server, httpx.MockTransport) else httpx.MockTransport(server)
    if face == "Client":
        return Awaited(Client("http://jobs.test", transport=transport, **options))
    return AsyncClient("http://jobs.test", transport=transport, **options)


async def all_of(iteration: Any) -> list[Any]:
    return [item async for item in iteration]
