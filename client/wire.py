"""How requests get out and time passes: the only place where blocking and awaiting differ."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, ParamSpec, TypeVar

import httpx

from client.errors import ServerUnreachable
from client.sources import AwaitedBody, BlockingBody

P = ParamSpec("P")
T = TypeVar("T")


class Wire(ABC):
    """What an operation may do to the world.

    All methods are coroutines, so that each operation is written once. Those of `BlockingWire` never
    wait for an event loop: they block.

    Args:
        http: the connections, with the server's address and the caller's key.
        timeout: seconds of silence after which the server counts as unreachable.
    """

    def __init__(self, http: httpx.Client | httpx.AsyncClient, timeout: float) -> None:
        self._build = http.build_request
        self._timeout = timeout

    def request(self, method: str, path: str, *, hold: float = 0.0, **content: Any) -> httpx.Request:
        """A request to be sent; the server may hold its answer for `hold` seconds beyond the timeout."""
        timeout = httpx.Timeout(self._timeout, read=self._timeout + hold)
        return self._build(method, path, timeout=timeout, **content)

    def now(self) -> float:
        """Seconds on a clock that is never set."""
        return time.monotonic()

    @abstractmethod
    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        """The answer; with `stream`, its body is still to come."""

    @abstractmethod
    async def read(self, answer: httpx.Response) -> None:
        """Take in the body of a streamed answer, to its end."""

    @abstractmethod
    def chunks(self, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
        """The body of a streamed answer, as it comes; the connection ends with the iteration."""

    @abstractmethod
    def body(self, file: BinaryIO) -> Iterable[bytes] | AsyncIterable[bytes]:
        """What a file holds from here on, as the body of a request."""

    @abstractmethod
    async def use_disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that may have to wait for the disk."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""


class BlockingWire(Wire):
    """Every method blocks its thread until it is done."""

    def __init__(self, http: httpx.Client, timeout: float) -> None:
        super().__init__(http, timeout)
        self._http = http

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        with translated(request):
            return self._http.send(request, stream=stream)

    async def read(self, answer: httpx.Response) -> None:
        with translated(answer.request):
            answer.read()

    async def chunks(self, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            with translated(answer.request):
                for chunk in answer.iter_bytes():
                    yield chunk
        finally:
            answer.close()

    def body(self, file: BinaryIO) -> Iterable[bytes]:
        return BlockingBody(file)

    async def use_disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - to block is what this wire is for

    async def close(self) -> None:
        self._http.close()


class AsyncWire(Wire):
    """Every method lets the event loop go on meanwhile."""

    def __init__(self, http: httpx.AsyncClient, timeout: float) -> None:
        super().__init__(http, timeout)
        self._http = http

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        with translated(request):
            return await self._http.send(request, stream=stream)

    async def read(self, answer: httpx.Response) -> None:
        with translated(answer.request):
            await answer.aread()

    async def chunks(self, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            with translated(answer.request):
                async for chunk in answer.aiter_bytes():
                    yield chunk
        finally:
            await answer.aclose()

    def body(self, file: BinaryIO) -> AsyncIterable[bytes]:
        return AwaitedBody(file)

    async def use_disk(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(function, *args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        await self._http.aclose()


@contextmanager
def translated(request: httpx.Request) -> Iterator[None]:
    """Turns what httpx raises when there is no answer into ServerUnreachable."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise ServerUnreachable(f"The request can't be sent: {error}", retryable=False) from error
    except httpx.RequestError as error:
        server = request.url.copy_with(raw_path=b"/", userinfo=b"")  # without the password
        raise ServerUnreachable(
            f"{server} does not answer ({str(error) or type(error).__name__})."
        ) from error
