"""HTTP clients that wait for jobs or stream them, each on its own connection."""

import asyncio
from collections.abc import Sequence
from typing import cast

AT_ONCE = 500  # connections that are opened together


class HeldClient(asyncio.Protocol):
    """A request for a job, held by the server until the job ends.

    Attributes:
        informed: resolved when the server closes the connection; True if the answer had the end of the job.
    """

    def __init__(self, path: str, job_id: str) -> None:
        self.informed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        self._job_id = job_id.encode()
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data

    def connection_lost(self, error: Exception | None) -> None:
        self.informed.set_result(self._job_id in self._answer and b'"done":true' in self._answer)


async def open_clients(port: int, waiting: Sequence[str], streaming: Sequence[str]) -> list[HeldClient]:
    """Open a client with `?wait=` for each job of `waiting`, and a stream for each of `streaming`."""
    paths = [(f"/jobs/{job_id}?wait=60", job_id) for job_id in waiting]
    paths += [(f"/jobs/{job_id}/events", job_id) for job_id in streaming]
    clients: list[HeldClient] = []
    for start in range(0, len(paths), AT_ONCE):
        opening = [_open(port, *pair) for pair in paths[start : start + AT_ONCE]]
        clients += await asyncio.gather(*opening)
    return clients


async def count_uninformed(clients: Sequence[HeldClient], seconds: float) -> int:
    """The number of clients that do not get the end of their job within `seconds`."""
    await asyncio.wait([client.informed for client in clients], timeout=seconds)
    return sum(not (client.informed.done() and client.informed.result()) for client in clients)


async def _open(port: int, path: str, job_id: str) -> HeldClient:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: HeldClient(path, job_id), "127.0.0.1", port)
    return client
