"""The two faces of the client: one that blocks, one that awaits. What they do is in `client.calls`."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from client.calls import Calls
from client.retries import DEFAULT_RETRIES, Retries
from client.wire import AsyncWire, BlockingWire

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class AsyncClient(Calls):
    """The client for asyncio.

    Args:
        url: the server's address.
        key: the caller's API key, if the server asks for one.
        timeout: seconds of silence after which the server counts as unreachable.
        retries: how hard to try when a request fails for a passing reason.
        transport: what carries the requests in place of the network, such as `httpx.MockTransport`.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        retries: Retries = DEFAULT_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        http = httpx.AsyncClient(base_url=_base(url), headers=_headers(key), transport=transport)
        super().__init__(AsyncWire(http, timeout), retries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def blocking(
    call: Callable[Concatenate[Calls, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Client", P], T]:
    """A method that runs the call to its end."""

    @wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return _run(call(self._calls, *args, **kwargs))

    return method


def iterating(
    call: Callable[Concatenate[Calls, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate["Client", P], Iterator[T]]:
    """A method that goes through what the call yields."""

    @wraps(call)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        items = call(self._calls, *args, **kwargs)
        try:
            while True:
                yield _run(anext(items))
        except StopAsyncIteration:
            return
        finally:
            _run(items.aclose())

    return method


class Client:
    """The client for programs without an event loop; threads may share it.

    Args:
        url: the server's address.
        key: the caller's API key, if the server asks for one.
        timeout: seconds of silence after which the server counts as unreachable.
        retries: how hard to try when a request fails for a passing reason.
        transport: what carries the requests in place of the network, such as `httpx.MockTransport`.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        retries: Retries = DEFAULT_RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        http = httpx.Client(base_url=_base(url), headers=_headers(key), transport=transport)
        self._calls = Calls(BlockingWire(http, timeout), retries)

    submit = blocking(Calls.submit)
    submit_batch = blocking(Calls.submit_batch)
    get = blocking(Calls.get)
    wait = blocking(Calls.wait)
    result = blocking(Calls.result)
    stream = iterating(Calls.stream)
    follow = iterating(Calls.follow)
    logs = blocking(Calls.logs)
    cancel = blocking(Calls.cancel)
    retry = blocking(Calls.retry)
    iter_jobs = iterating(Calls.iter_jobs)
    upload = blocking(Calls.upload)
    file = blocking(Calls.file)
    delete_file = blocking(Calls.delete_file)
    download = blocking(Calls.download)
    read_artifact = blocking(Calls.read_artifact)
    webhook = blocking(Calls.webhook)
    redeliver = blocking(Calls.redeliver)
    close = blocking(Calls.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits for an event loop, since all beneath it blocks."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise RuntimeError("A blocking call waited for an event loop.")


def _base(url: str) -> str:
    return f"{url.rstrip('/')}/v1"


def _headers(key: str | None) -> dict[str, str]:
    return {"User-Agent": "job-server-client"} | ({"Authorization": f"Bearer {key}"} if key else {})
