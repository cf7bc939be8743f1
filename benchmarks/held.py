"""HTTP clients that wait for jobs or stream them, each on a connection of its own."""

import asyncio
from collections.abc import Sequence
from typing import cast

AT_ONCE = 500  # connections that are opened side by side


class Held(asyncio.Protocol):
    """One client, held by the server until its job ends.

    Attributes:
        told: done when the server closes the connection; whether it told that the job is done.
    """

    def __init__(self, path: str, job_id: str) -> None:
        self.told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        self._job_id = job_id.encode()
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data

    def connection_lost(self, error: Exception | None) -> None:
        self.told.set_result(self._job_id in self._answer and b'"done":true' in self._answer)


async def hold(port: int, waiting: Sequence[str], streaming: Sequence[str]) -> list[Held]:
    """A client for each job to wait for, and one for each to stream."""
    paths = [(f"/jobs/{job_id}?wait=60", job_id) for job_id in waiting]
    paths += [(f"/jobs/{job_id}/events", job_id) for job_id in streaming]
    held: list[Held] = []
    for start in range(0, len(paths), AT_ONCE):
        opening = [_open(port, *pair) for pair in paths[start : start + AT_ONCE]]
        held += await asyncio.gather(*opening)
    return held


async def lost(held: Sequence[Held], seconds: float) -> int:
    """How many are not told of their job's end within so many seconds."""
    await asyncio.wait([client.told for client in held], timeout=seconds)
    return sum(not (client.told.done() and client.told.result()) for client in held)


async def _open(port: int, path: str, job_id: str) -> Held:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Held(path, job_id), "127.0.0.1", port)
    return client
