"""The peers, one module per library: set up as its documentation advises, with a job that does nothing.

Each module is a program on `REDIS_URL`:

- `python -m benchmarks.peers.NAME enqueue COUNT` fills the queue and prints the seconds it took;
- `python -m benchmarks.peers.NAME ping COUNT` submits one job at a time, with pauses;
- `python -m benchmarks.peers.NAME worker SLOTS` runs one worker process once the file `go` appears.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import uvloop

from benchmarks import job_counter

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
NAP = float(os.environ.get("BENCH_NAP", "0"))
PAUSE = float(os.environ.get("BENCH_PAUSE", "0.02"))
BATCH = int(os.environ.get("BENCH_BATCH", "200"))

Submit = Callable[[float], Awaitable[object]]
Connect = Callable[[], AbstractAsyncContextManager[Submit]]


async def body(sent: float = 0.0) -> None:
    """The job of every asynchronous library: a no-op, or a sleep of `BENCH_NAP` seconds."""
    if NAP:
        job_counter.count_started()
        await asyncio.sleep(NAP)
    job_counter.count_finished(sent)


def main(connect: Connect, work: Callable[[int], object]) -> None:
    """Run the command line of a peer.

    Args:
        connect: opens a connection and yields the function that submits one job; its argument is the job's.
        work: runs a worker with a number of slots until SIGTERM.
    """
    action, number = sys.argv[1], int(sys.argv[2])
    if action == "enqueue":
        uvloop.run(enqueue(connect, number))
    elif action == "ping":
        uvloop.run(ping(connect, number))
    else:
        wait_for_go()
        work(number)


async def enqueue(connect: Connect, count: int) -> None:
    """Submit `count` jobs, BATCH of them at a time."""
    async with connect() as submit:
        begin = time.perf_counter()
        for first in range(0, count, BATCH):
            await asyncio.gather(*(submit(0.0) for _ in range(min(BATCH, count - first))))
        print(time.perf_counter() - begin)


async def ping(connect: Connect, count: int) -> None:
    """Submit `count` jobs one by one, each with the time of its submission."""
    async with connect() as submit:
        for _ in range(count):
            await submit(time.time())
            await asyncio.sleep(PAUSE * random.uniform(0.5, 1.5))


def wait_for_go() -> None:
    """Report that this process has its imports, then wait for the file `go`."""
    folder = Path(os.environ[job_counter.FOLDER])
    (folder / f"{os.getpid()}.up").touch()
    end = time.monotonic() + 120
    while not (folder / "go").exists():
        if time.monotonic() > end:
            raise TimeoutError("The file go did not appear; PeerStack.go() creates it.")
        time.sleep(0.005)
