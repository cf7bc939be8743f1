"""One file per library: how it is set up as its documentation advises, with a job that does nothing.

Each module is a program: `python -m benchmarks.peers.NAME enqueue COUNT` fills its queue on `REDIS_URL`, and
`python -m benchmarks.peers.NAME worker SLOTS` is one worker process.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
BATCH = 200


def main(enqueue: Callable[[int], Awaitable[None]], work: Callable[[int], object]) -> None:
    """Do what the command line asks of a peer."""
    action, number = sys.argv[1], int(sys.argv[2])
    if action == "enqueue":
        asyncio.run(enqueue(number))  # type: ignore[arg-type]
    else:
        work(number)


async def in_batches(count: int, submit: Callable[[int], Awaitable[object]]) -> None:
    """Submit `count` jobs, BATCH of them at a time."""
    for first in range(0, count, BATCH):
        await asyncio.gather(*(submit(n) for n in range(first, min(first + BATCH, count))))
