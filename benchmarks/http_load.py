"""HTTP load from keep-alive connections that are always busy: `python -m benchmarks.http_load --help`."""

import argparse
import asyncio
import json
import time
from itertools import cycle
from typing import cast

import uvloop

from benchmarks.cpu_time import cpu_seconds
from dev.percentiles import percentile

BODY = b'{"type":"echo","params":{"message":"hello"}}'
POST = (
    b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    + str(len(BODY)).encode()
    + b"\r\n\r\n"
    + BODY
)
WARM_UP = 1.0  # seconds


class LoadConnection(asyncio.Protocol):
    """A connection that sends its next request as soon as the answer is read, until `stopping` is set.

    Attributes:
        seconds: the duration of each request.
        job_ids: the job ids in the answers, if `keep_ids`.
        stopping: set to close the connection after the next answer.

    Args:
        requests: the requests, shared by all connections.
        keep_ids: whether the job ids are kept.
        expected: bytes that every answer has; another one ends the load with an error.
    """

    def __init__(self, requests: "cycle[bytes]", *, keep_ids: bool = False, expected: bytes = b"") -> None:
        self.seconds: list[float] = []
        self.job_ids: list[str] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stopping = False
        self._requests = requests
        self._keep_ids = keep_ids
        self._expected = expected
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, split, rest = self._buffer.partition(b"\r\n\r\n")
        if not split or len(rest) < content_length(head):
            return
        self.seconds.append(time.perf_counter() - self._sent)
        if head[9:12] not in (b"200", b"202") or self._expected not in rest:
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


def content_length(head: bytes) -> int:
    """The number of bytes after the head of an answer."""
    after = head.lower().partition(b"content-length: ")[2]
    return int(after.partition(b"\r\n")[0])


async def keep_busy(
    port: int,
    requests: list[bytes],
    connections: int,
    seconds: float,
    *,
    keep_ids: bool = False,
    expected: bytes = b"",
) -> list[LoadConnection]:
    """Keep a server busy for `seconds`; returns the closed connections."""
    loop, queue = asyncio.get_running_loop(), cycle(requests)
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: LoadConnection(queue, keep_ids=keep_ids, expected=expected), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.sleep(seconds)
    for client in clients:
        client.stopping = True
    await asyncio.wait_for(asyncio.gather(*(client.ended for client in clients)), 20)
    return clients


async def measure_latency(
    port: int, requests: list[bytes], connections: int, seconds: float
) -> dict[str, float]:
    """Milliseconds that requests take on busy connections: p50 and p99."""
    return latencies(await keep_busy(port, requests, connections, seconds))


async def measure_rate(port: int, method: str, connections: int, seconds: float, server: int) -> None:
    """Print the requests per second, their latency, and the processor time of the server, as JSON."""
    warm = await keep_busy(port, [POST], connections, WARM_UP, keep_ids=True)
    requests = [POST]
    if method == "get":
        ids = [job_id for client in warm for job_id in client.job_ids]
        requests = [f"GET /jobs/{job_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for job_id in ids]
    begin, used = time.perf_counter(), cpu_seconds({server})
    clients = await keep_busy(port, requests, connections, seconds)
    took, used = time.perf_counter() - begin, cpu_seconds({server}) - used
    count = sum(len(client.seconds) for client in clients)
    print(json.dumps({"rate": count / took, **latencies(clients), "µs": 1e6 * used / count}))


def latencies(clients: list[LoadConnection]) -> dict[str, float]:
    """The p50 and the p99 of all requests, in milliseconds."""
    values = [1e3 * value for client in clients for value in client.seconds]
    return {"p50": percentile(values, 50), "p99": percentile(values, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_load", description=__doc__)
    parser.add_argument("port", type=int, help="the server's port on loopback")
    parser.add_argument("method", choices=("post", "get"), help="POST /jobs, or GET /jobs/{id} of new jobs")
    parser.add_argument("server", type=int, help="the server's process id")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    uvloop.run(
        measure_rate(options.port, options.method, options.connections, options.seconds, options.server)
    )


if __name__ == "__main__":
    main()
