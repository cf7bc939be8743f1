"""The client: all operations, and their two faces, `Client` that blocks and `AsyncClient`.

Each operation is written once, as asyncio code over a `Transport`. `AsyncClient` has the operations over an
AsyncTransport. `Client` runs each of them to its end over a BlockingTransport, which never waits for an event
loop.
"""

from typing import Self

import httpx

from client.blocking import blocking, iterating
from client.bulk import BulkOperations
from client.jobs import JobOperations
from client.queues import QueueOperations
from client.retries import DEFAULT_RETRIES, Retries
from client.transport import DEFAULT_URL, AsyncTransport, BlockingTransport, Transport

TIMEOUT = 10.0


class Operations(JobOperations, BulkOperations, QueueOperations):
    """All operations of the client.

    Every operation raises JobServerError when the server refuses, and ServerUnreachable without a response,
    both after the retries.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()


class Client:
    """The client for programs without an event loop; threads may share it.

    Args:
        url: the server's address.
        key: the caller's API key, if the server needs one.
        timeout: seconds of silence after which the server counts as unreachable.
        retries: limits of the retries of each request.
        transport: in place of the network, such as `httpx.MockTransport`.
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
        self._operations = Operations(BlockingTransport(url, key, timeout, retries, transport))

    submit = blocking(Operations.submit)
    submit_batch = blocking(Operations.submit_batch)
    get = blocking(Operations.get)
    wait = blocking(Operations.wait)
    result = blocking(Operations.result)
    cancel = blocking(Operations.cancel)
    retry = blocking(Operations.retry)
    forget = blocking(Operations.forget)
    attempts = blocking(Operations.attempts)
    iter_jobs = iterating(Operations.iter_jobs)
    iter_pages = iterating(Operations.iter_pages)
    stream = iterating(Operations.stream)
    follow = iterating(Operations.follow)
    watch = iterating(Operations.watch)
    output = iterating(Operations.output)
    logs = blocking(Operations.logs)
    upload = blocking(Operations.upload)
    file = blocking(Operations.file)
    delete_file = blocking(Operations.delete_file)
    download = blocking(Operations.download)
    read_artifact = blocking(Operations.read_artifact)
    webhook = blocking(Operations.webhook)
    redeliver = blocking(Operations.redeliver)
    cancel_jobs = blocking(Operations.cancel_jobs)
    retry_jobs = blocking(Operations.retry_jobs)
    queues = blocking(Operations.queues)
    queue = blocking(Operations.queue)
    pause = blocking(Operations.pause)
    resume = blocking(Operations.resume)
    drain = blocking(Operations.drain)
    workers = blocking(Operations.workers)
    figures = blocking(Operations.figures)
    events = iterating(Operations.events)
    close = blocking(Operations.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(Operations):
    """The client for asyncio, with the arguments of `Client`."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        retries: Retries = DEFAULT_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(AsyncTransport(url, key, timeout, retries, transport))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
