"""The stream of a job's events, as the server that sends it sees it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from api.routes.events import EventStream
from dev.stack import Stack
from shared.queue import JobQueue
from shared.store import keys
from shared.store.changes import Changes
from shared.store.client import connect
from shared.store.job_store import JobStore
from shared.store.model import Retention

HEARTBEAT = b": still here\n\n"
SCOPE = {"type": "http"}


class Reader:
    """Takes what the server sends, until it leaves."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent: asyncio.Queue[Any] = asyncio.Queue()

    async def receive(self) -> dict[str, str]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def body(self) -> bytes:
        """The next piece of the answer that is not empty."""
        async with asyncio.timeout(5):
            while not (body := (await self.sent.get()).get("body")):
                pass
        return bytes(body)


@pytest.fixture
async def changes(redis_stack: Stack) -> AsyncIterator[Changes]:
    changes = Changes(connect(redis_stack.redis_url))
    yield changes
    await changes.aclose()


def stream(redis: Redis, changes: Changes) -> EventStream:
    """A stream for a reader who has seen the record's only version, with a hurried heart."""
    queue = JobQueue(JobStore(redis, Retention()), max_waiting=1)
    return EventStream(queue, changes, "a", version=1, heartbeat=0.02)


async def test_comments_keep_a_quiet_stream_open_until_the_reader_leaves(redis: Redis, changes: Changes):
    await redis.hset(keys.RECORD + "a", mapping={"version": 1, "state": "pending", "queue": "default"})
    reader = Reader()
    streaming = asyncio.create_task(stream(redis, changes)(SCOPE, reader.receive, reader.sent.put))

    assert [await reader.body() for _ in range(4)] == [b"retry: 1000\n\n"] + [HEARTBEAT] * 3
    reader.left.set()
    await asyncio.wait_for(streaming, 5)
    async with asyncio.timeout(5):
        while await redis.pubsub_channels():
            await asyncio.sleep(0.01)


async def test_a_record_that_can_not_be_watched_is_refused_as_any_other(redis: Redis):
    reader, nowhere = Reader(), Changes(connect("redis://127.0.0.1:1/0"))

    await stream(redis, nowhere)(SCOPE, reader.receive, reader.sent.put)

    assert (await reader.sent.get())["status"] == 503
    assert b"queue_unavailable" in await reader.body()
    assert reader.sent.empty()
