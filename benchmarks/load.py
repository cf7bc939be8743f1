"""A small keep-alive HTTP client that keeps every connection busy: `python -m benchmarks.load --help`."""

import argparse
import asyncio
import json
import statistics
import time
from itertools import cycle
from typing import cast

import uvloop

from benchmarks import cpu

BODY = b'{"type":"echo","params":{"message":"hello"}}'
POST = (
    b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    + str(len(BODY)).encode()
    + b"\r\n\r\n"
    + BODY
)
WARM_UP = 1.0  # seconds


class Client(asyncio.Protocol):
    """One connection: sends a request, reads the answer, sends the next, until it is told to end.

    Attributes:
        seconds: what each request took.
        job_ids: the jobs that the answers named, if they are wanted.
    """

    def __init__(self, requests: "cycle[bytes]", *, keep_ids: bool = False) -> None:
        self.seconds: list[float] = []
        self.job_ids: list[str] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stopping = False
        self._requests = requests
        self._keep_ids = keep_ids
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, split, rest = self._buffer.partition(b"\r\n\r\n")
        if not split or len(rest) < _length(head):
            return
        self.seconds.append(time.perf_counter() - self._sent)
        if head[9:12] not in (b"200", b"202"):
            self.ended.set_exception(RuntimeError(self._buffer[:500].decode(errors="replace")))
            self._transport.abort()
            return
        if self._keep_ids:
            self.job_ids.append(json.loads(rest)["job_id"])
        self._buffer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        if self.stopping:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


def _length(head: bytes) -> int:
    after = head.lower().partition(b"content-length: ")[2]
    return int(after.partition(b"\r\n")[0])


async def drive(
    port: int, requests: list[bytes], connections: int, seconds: float, *, keep_ids: bool = False
) -> list[Client]:
    """Clients that have kept a server busy for that long."""
    loop, queue = asyncio.get_running_loop(), cycle(requests)
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: Client(queue, keep_ids=keep_ids), "127.0.0.1", port)
        clients.append(client)
    await asyncio.sleep(seconds)
    for client in clients:
        client.stopping = True
    await asyncio.wait_for(asyncio.gather(*(client.ended for client in clients)), 20)
    return clients


async def load(port: int, method: str, connections: int, seconds: float, server: int) -> None:
    warm = await drive(port, [POST], connections, WARM_UP, keep_ids=True)
    requests = [POST]
    if method == "get":
        ids = [job_id for client in warm for job_id in client.job_ids]
        requests = [f"GET /jobs/{job_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for job_id in ids]
    begin, used = time.perf_counter(), cpu.seconds({server})
    clients = await drive(port, requests, connections, seconds)
    took, used = time.perf_counter() - begin, cpu.seconds({server}) - used
    found = [value for client in clients for value in client.seconds]
    percentiles = statistics.quantiles(found, n=100)
    figures = {
        "rate": len(found) / took,
        "p50": 1e3 * percentiles[49],
        "p99": 1e3 * percentiles[98],
        "µs": 1e6 * used / len(found),
    }
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("port", type=int, help="where the server listens, on loopback")
    parser.add_argument("method", choices=("post", "get"), help="POST /jobs, or GET /jobs/{id} of new jobs")
    parser.add_argument("server", type=int, help="the server's process id")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    uvloop.run(load(options.port, options.method, options.connections, options.seconds, options.server))


if __name__ == "__main__":
    main()
