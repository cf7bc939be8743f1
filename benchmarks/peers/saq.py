"""saq: blocking dequeue, uvloop, orjson, jobs that are not kept (ttl=-1)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import uvloop
from saq import Queue, Worker  # type: ignore[import-not-found]

from benchmarks.peers import REDIS_URL, Submit, body, main


def make_queue() -> Any:
    return Queue.from_url(REDIS_URL, dump=orjson.dumps, load=orjson.loads)


async def noop(ctx: dict[str, Any], *, sent: float) -> None:
    await body(sent)


@asynccontextmanager
async def submitter() -> AsyncIterator[Submit]:
    queue = make_queue()

    def submit(sent: float) -> Awaitable[object]:
        found: Awaitable[object] = queue.enqueue("noop", sent=sent, ttl=-1)
        return found

    yield submit
    await queue.disconnect()


async def serve(slots: int) -> None:
    await Worker(make_queue(), [("noop", noop)], concurrency=slots).start()


def work(slots: int) -> None:
    uvloop.install()
    asyncio.run(serve(slots))


if __name__ == "__main__":
    main(submitter, work)
