"""Jobs per second of `POST /jobs/batch`, always busy on a few connections, and `/healthz` meanwhile.

`/healthz` is requested every few milliseconds by another process, before the batches and beside them.
The worker takes no part: the queue only grows.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import uvloop

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.figures import Figures
from benchmarks.http_load import content_length, keep_busy
from benchmarks.progress import failure_logged
from benchmarks.sections.waits import QUIET
from benchmarks.slow_scripts import slow_scripts_recorded
from dev.markdown import markdown_table
from dev.percentiles import percentile
from dev.stack import running

SIZES = (100, 1000)
CONNECTIONS = 4
SECONDS = 4.0
WARM_UP = 1.0
PAUSE = 0.005  # seconds between two requests to /healthz
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def run(options: BenchmarkOptions) -> str:
    figures, seconds = Figures(), 1.0 if options.quick else SECONDS
    for _ in range(options.rounds):
        for size in SIZES:
            measure(figures, size, seconds)
    head = ["jobs in a batch", "jobs/s", "range"]
    for name in ("p50", "p99"):
        head += [f"/healthz {name} before, ms", "beside", "range"]
    return markdown_table(head, [list(_cells(figures, str(size))) for size in SIZES])


def measure(figures: Figures, size: int, seconds: float) -> None:
    with failure_logged(), running(**QUIET) as stack, slow_scripts_recorded(stack.admin_url):
        for column, value in uvloop.run(_measure(stack.api_port, size, seconds)).items():
            figures.add(str(size), column, value)


async def _measure(port: int, size: int, seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        await loop.run_in_executor(pool, submit_batches, port, size, WARM_UP)
        before = await probe_health(port, asyncio.ensure_future(asyncio.sleep(seconds)))
        load = loop.run_in_executor(pool, submit_batches, port, size, seconds)
        beside = await probe_health(port, load)
        found = {"rate": await load}
    for when, values in (("before", before), ("beside", beside)):
        found |= {f"{when} p{rank}": 1000 * percentile(values, rank) for rank in (50, 99)}
    return found


def submit_batches(port: int, size: int, seconds: float) -> float:
    """Submit batches for `seconds`; returns the jobs per second."""
    begin = time.perf_counter()
    clients = uvloop.run(keep_busy(port, [batch_request(size)], CONNECTIONS, seconds))
    return size * sum(len(client.seconds) for client in clients) / (time.perf_counter() - begin)


def batch_request(size: int) -> bytes:
    body = json.dumps({"jobs": [{"type": "echo", "params": {"message": "hello"}}] * size}).encode()
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return b"POST /jobs/batch HTTP/1.1\r\n%b\r\n\r\n%b" % (head.encode(), body)


async def probe_health(port: int, until: "asyncio.Future[Any]") -> list[float]:
    """Seconds of each request to /healthz, one at a time, until the future is done."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seconds = []
    while not until.done():
        begin = time.perf_counter()
        writer.write(HEALTH)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(content_length(head))
        seconds.append(time.perf_counter() - begin)
        await asyncio.sleep(PAUSE)
    writer.close()
    return seconds


def _cells(figures: Figures, row: str) -> Iterator[str]:
    yield from (f"{int(row):,}", figures.show(row, "rate"), figures.spread(row, "rate"))
    for name in ("p50", "p99"):
        yield from (figures.show(row, f"{when} {name}", 1) for when in ("before", "beside"))
        yield figures.spread(row, f"beside {name}", 1)
