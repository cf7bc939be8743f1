"""Transport of requests to the server, with retries, and the one place where blocking and awaiting differ.

`Transport.send` retries and turns refusals into errors. `BlockingTransport` and `AsyncTransport` pass one
request to httpx, read files, and sleep. The transports of httpx, such as `httpx.MockTransport`, are below.
"""

import asyncio
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import contextmanager
from typing import Any, BinaryIO, ParamSpec, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from client.errors import JobServerError, ServerUnreachable, refusal
from client.models.jobs import Job
from client.models.record import Record
from client.retries import Retries

DEFAULT_URL = "http://127.0.0.1:8000"
UPLOAD_CHUNK = 1 << 18  # bytes
IDEMPOTENCY_KEY = "Idempotency-Key"

P = ParamSpec("P")
T = TypeVar("T")


class Transport(ABC):
    """Requests of one client.

    All methods are coroutines, so that each operation of the client is written once. Those of
    `BlockingTransport` never wait for an event loop: they block.

    Args:
        http: the connections, with the server's address and the caller's key.
        timeout: seconds of silence after which the server counts as unreachable.
        retries: limits of the retries of each request.
    """

    def __init__(self, http: httpx.Client | httpx.AsyncClient, timeout: float, retries: Retries) -> None:
        self._build = http.build_request
        self._timeout = timeout
        self.retries = retries

    async def get(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        hold: float = 0.0,
        within: float = math.inf,
    ) -> bytes:
        """GET a body; with `hold`, the server waits so many seconds for the end of the job."""
        request = self.request("GET", path, params={**(query or {}), **_wait(hold)}, hold=hold)
        return (await self.send(request, within=within)).content

    async def delete(self, path: str) -> bytes:
        return (await self.send(self.request("DELETE", path))).content

    async def post(
        self,
        path: str,
        body: Any,
        idempotency_key: str | None,
        *,
        hold: float = 0.0,
        counts: bool = False,
    ) -> bytes:
        """POST a JSON body with an Idempotency-Key, a random one unless given, so that retries are safe.

        Args:
            hold: seconds for which the server may hold its response.
            counts: whether the response counts what this request alone has changed. Then no retry follows an
                error of missing shards: it would count anew, and hide the changes on the other shards.
        """
        headers = {IDEMPOTENCY_KEY: idempotency_key or str(uuid4())}
        request = self.request("POST", path, params=_wait(hold), json=body, headers=headers, hold=hold)
        return (await self.send(request, counts=counts)).content

    def request(self, method: str, path: str, *, hold: float = 0.0, **content: Any) -> httpx.Request:
        """Build a request; the server may hold its response for `hold` seconds beyond the timeout."""
        timeout = httpx.Timeout(self._timeout, read=self._timeout + hold)
        return self._build(method, path, timeout=timeout, **content)

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        within: float = math.inf,
        retry: bool | None = None,
        counts: bool = False,
    ) -> httpx.Response:
        """Send a request, again where that is safe, until a response of success.

        Args:
            request: its body must be readable again, unless `retry` is false.
            stream: leave the body of the response unread.
            within: seconds after which no retry is sent.
            retry: whether a second sending does no harm; unless given, the request shows it.
            counts: as in `post`.

        Raises:
            JobServerError: the server refused, or was unreachable, at the last try too.
        """
        retry = is_repeatable(request) if retry is None else retry
        start, count = self.now(), 0
        while True:
            try:
                return await self._send_once(request, stream=stream)
            except JobServerError as error:
                spent = self.now() - start
                final = not retry or (counts and error.missing_shards)
                pause = None if final else self.retries.pause(error, count, spent)
                if pause is None or spent + pause > within:
                    raise
            await self.sleep(pause)
            count += 1

    async def _send_once(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        response = await self.exchange(request, stream=stream)
        if response.is_success:
            return response
        if stream:
            await self.read(response)
        raise refusal(response)

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        return time.monotonic()

    @abstractmethod
    async def exchange(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        """Send a request once; with `stream`, the body of the response is still unread."""

    @abstractmethod
    async def read(self, response: httpx.Response) -> None:
        """Read the body of a streamed response to its end."""

    @abstractmethod
    def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Body of a streamed response, as it comes; the connection closes with the iteration."""

    @abstractmethod
    def body(self, file: BinaryIO) -> Iterable[bytes] | AsyncIterable[bytes]:
        """Rest of a file as the body of a request."""

    @abstractmethod
    async def use_disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that may wait for the disk."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""


class BlockingTransport(Transport):
    """Transport whose methods block the thread."""

    def __init__(
        self,
        url: str,
        key: str | None,
        timeout: float,
        retries: Retries,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self._http = httpx.Client(base_url=_base_url(url), headers=_headers(key), transport=transport)
        super().__init__(self._http, timeout, retries)

    async def exchange(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        with translated(request):
            return self._http.send(request, stream=stream)

    async def read(self, response: httpx.Response) -> None:
        with translated(response.request):
            response.read()

    async def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            with translated(response.request):
                for chunk in response.iter_bytes():
                    yield chunk
        finally:
            response.close()

    def body(self, file: BinaryIO) -> Iterable[bytes]:
        return BlockingBody(file)

    async def use_disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - this transport blocks

    async def close(self) -> None:
        self._http.close()


class AsyncTransport(Transport):
    """Transport whose methods leave the event loop free."""

    def __init__(
        self,
        url: str,
        key: str | None,
        timeout: float,
        retries: Retries,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=_base_url(url), headers=_headers(key), transport=transport)
        super().__init__(self._http, timeout, retries)

    async def exchange(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        with translated(request):
            return await self._http.send(request, stream=stream)

    async def read(self, response: httpx.Response) -> None:
        with translated(response.request):
            await response.aread()

    async def chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            with translated(response.request):
                async for chunk in response.aiter_bytes():
                    yield chunk
        finally:
            await response.aclose()

    def body(self, file: BinaryIO) -> AsyncIterable[bytes]:
        return AsyncBody(file)

    async def use_disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(function, *args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        await self._http.aclose()


class FileBody:
    """Rest of a file as the body of a request; a retry sends it from the same place, if the file can seek."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell() if file.seekable() else None

    def _rewind(self) -> None:
        if self._start is not None:
            self._file.seek(self._start)


class BlockingBody(FileBody):
    """Body whose file is read in the caller's thread."""

    def __iter__(self) -> Iterator[bytes]:
        self._rewind()
        while chunk := self._file.read(UPLOAD_CHUNK):
            yield chunk


class AsyncBody(FileBody):
    """Body whose file is read in other threads."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._rewind()
        while chunk := await asyncio.to_thread(self._file.read, UPLOAD_CHUNK):
            yield chunk


@contextmanager
def translated(request: httpx.Request) -> Iterator[None]:
    """Translate httpx' errors of requests without a response into ServerUnreachable."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise ServerUnreachable(f"The request can't be sent: {error}", retryable=False) from error
    except httpx.RequestError as error:
        server = request.url.copy_with(raw_path=b"/", userinfo=b"")  # without the password
        raise ServerUnreachable(
            f"{server} does not answer ({str(error) or type(error).__name__})."
        ) from error


def parse(body: str | bytes, from_record: Callable[[Record], T]) -> T:
    """Parse a JSON body into a model: `parse(body, Job.from_record)`.

    Raises:
        JobServerError: `unreadable_answer`, the body has another form.
    """
    try:
        return from_record(json.loads(body))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise JobServerError(
            "unreadable_answer",
            f"The response is not a job server's ({error!r}).",
            "Check the address, and that client and server are of the same version.",
        ) from error


def is_repeatable(request: httpx.Request) -> bool:
    """Whether a second sending of the request does no harm."""
    return request.method in ("GET", "DELETE") or IDEMPOTENCY_KEY in request.headers


def job_path(job: Job | str, *parts: str) -> str:
    """Path of a job, or of something of it."""
    job_id = job if isinstance(job, str) else job.job_id
    return "/".join(["/jobs", *(quote(part, safe="") for part in (job_id, *parts))])


def _base_url(url: str) -> str:
    return f"{url.rstrip('/')}/v1"


def _headers(key: str | None) -> dict[str, str]:
    return {"User-Agent": "job-server-client"} | ({"Authorization": f"Bearer {key}"} if key else {})


def _wait(hold: float) -> dict[str, str]:
    return {"wait": f"{hold:.3f}"} if hold else {}
