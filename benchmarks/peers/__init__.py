"""One file per library: how it is set up as its documentation advises, with a job that does nothing.

Each module is a program, all on `REDIS_URL`:

- `python -m benchmarks.peers.NAME enqueue COUNT` fills its queue and prints the seconds that took;
- `python -m benchmarks.peers.NAME ping COUNT` submits one job at a time, with pauses;
- `python -m benchmarks.peers.NAME worker SLOTS` is one worker process. It begins when the file `go` appears.
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

from benchmarks import tally

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
NAP = float(os.environ.get("BENCH_NAP", "0"))
PAUSE = float(os.environ.get("BENCH_PAUSE", "0.02"))
BATCH = int(os.environ.get("BENCH_BATCH", "200"))

Submit = Callable[[float], Awaitable[object]]
Connect = Callable[[], AbstractAsyncContextManager[Submit]]


async def body(sent: float = 0.0) -> None:
    """The job of every asynchronous library: nothing, or a nap of `BENCH_NAP` seconds."""
    if NAP:
        tally.begin()
        await asyncio.sleep(NAP)
    tally.tick(sent)


def main(connect: Connect, work: Callable[[int], object]) -> None:
    """Do what the command line asks of a peer.

    Args:
        connect: opens a connection and gives what submits one job; its argument goes to the job.
        work: runs a worker with that many slots until it is told to end.
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
    """Submit `count` jobs, one by one, each with the time at which it was submitted."""
    async with connect() as submit:
        for _ in range(count):
            await submit(time.time())
            await asyncio.sleep(PAUSE * random.uniform(0.5, 1.5))


def wait_for_go() -> None:
    """Show that this process has imported what it needs, then wait to be let go."""
    folder = Path(os.environ[tally.FOLDER])
    (folder / f"{os.getpid()}.up").touch()
    end = time.monotonic() + 120
    while not (folder / "go").exists():
        if time.monotonic() > end:
            raise TimeoutError("Nobody said go.")
        time.sleep(0.005)
