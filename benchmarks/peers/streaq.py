"""streaq: uvloop, no kept results (ttl=0), no log line per job, 100 tasks prefetched."""

import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from streaq import Worker  # type: ignore[import-not-found]

from benchmarks.peers import REDIS_URL, Submit, body, main

SLOTS = int(os.environ.get("BENCH_SLOTS", "10"))
worker = Worker(redis_url=REDIS_URL, concurrency=SLOTS, prefetch=100, anyio_kwargs={"use_uvloop": True})


async def noop(sent: float) -> None:
    await body(sent)


task = worker.task(noop, name="noop", ttl=0, silent=True)


@asynccontextmanager
async def submitter() -> AsyncIterator[Submit]:
    async with worker:

        async def submit(sent: float) -> object:
            found: Awaitable[object] = task.enqueue(sent)
            return await found

        yield submit


def work(slots: int) -> None:
    worker.run_sync()


if __name__ == "__main__":
    main(submitter, work)
