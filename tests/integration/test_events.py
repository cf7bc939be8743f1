"""EventStream: the server-sent events of a job."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx_sse
import pytest
from redis.asyncio import Redis

from api.routes.events import HEARTBEAT, RETRY, EventStream, Place
from dev.stack import PATIENCE, Stack
from shared.store import redis_keys
from shared.store.changes import Changes
from shared.store.client import connect
from shared.store.job_leases import AttemptReport, Finished, JobLeases, Outcome, OutcomeKind
from shared.store.job_queue import JobQueue
from tests.new_jobs import RETENTION, new_job

SCOPE = {"type": "http"}
FIELDS: dict[str, Any] = {"type": "echo", "params": b"{}", "max_attempts": 1, "request_id": "r"}


class Reader:
    """Client that takes each piece of an answer, until it leaves."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent: asyncio.Queue[Any] = asyncio.Queue()

    async def receive(self) -> dict[str, str]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def body(self) -> bytes:
        """The next piece of the answer that is not empty."""
        async with asyncio.timeout(PATIENCE):
            while not (body := (await self.sent.get()).get("body")):
                pass
        return bytes(body)


@pytest.fixture
async def changes(redis_stack: Stack) -> AsyncIterator[Changes]:
    changes = Changes(connect(redis_stack.redis_url))
    yield changes
    await changes.aclose()


def stream(redis: Redis, changes: Changes, *, version: int = 1) -> EventStream:
    """Stream for a reader that has seen a version of the record, with a comment every 20 ms."""
    queue = JobQueue(redis, RETENTION, max_waiting=1)
    return EventStream(queue, changes, "a", Place(version), heartbeat=0.02)


async def test_comments_keep_a_quiet_stream_open_until_the_reader_leaves(redis: Redis, changes: Changes):
    await redis.hset(redis_keys.RECORD + "a", mapping={"version": 1, "state": "pending", "queue": "default"})
    reader = Reader()
    streaming = asyncio.create_task(stream(redis, changes)(SCOPE, reader.receive, reader.sent.put))

    assert [await reader.body() for _ in range(4)] == [RETRY] + [HEARTBEAT] * 3
    reader.left.set()
    await asyncio.wait_for(streaming, PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while await redis.pubsub_channels():
            await asyncio.sleep(0.01)


async def test_each_event_has_data_also_for_readers_that_take_an_empty_line_for_one(
    redis: Redis, changes: Changes
):
    queue, reader = JobQueue(redis, RETENTION, max_waiting=1), Reader()
    await queue.submit(new_job("a"))
    streaming = asyncio.create_task(stream(redis, changes, version=0)(SCOPE, reader.receive, reader.sent.put))
    bodies = [await reader.body()]
    while bodies.count(b": still here\n") < 2:
        bodies.append(await reader.body())
    await queue.cancel("a")
    await asyncio.wait_for(streaming, PATIENCE)
    bodies += [message["body"] for message in iter_now(reader.sent)]

    answer = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=b"".join(bodies))
    events = list(httpx_sse.EventSource(answer).iter_sse())
    assert [(json.loads(event.data)["state"], event.retry) for event in events] == [
        ("pending", 1000),
        ("cancelled", None),
    ]


async def test_a_record_that_can_not_be_watched_is_refused_as_any_other(redis: Redis):
    reader, nowhere = Reader(), Changes(connect("redis://127.0.0.1:1/0"))

    await stream(redis, nowhere)(SCOPE, reader.receive, reader.sent.put)

    assert (await reader.sent.get())["status"] == 503
    assert b"queue_unavailable" in await reader.body()
    assert reader.sent.empty()


# -- the log in the stream


async def told(redis: Redis, changes: Changes, *, version: int = 0) -> list[tuple[bytes, bytes]]:
    """Events of the finished job `a`: of lines of its log their message, of records their id."""
    reader = Reader()
    await stream(redis, changes, version=version)(SCOPE, reader.receive, reader.sent.put)
    sent = b"".join([message.get("body", b"") for message in iter_now(reader.sent)])
    return re.findall(rb'(?<=event: log\ndata: )(?:.*"message":"(\w+)".*)|id: (\d+)', sent)


def iter_now(queue: asyncio.Queue[Any]) -> list[Any]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


@pytest.fixture
async def written(redis: Redis) -> None:
    """A job with two lines in its log: one while it ran, at version 3, and one at its end, at version 4."""
    job_leases = JobLeases(redis)
    await JobQueue(redis, RETENTION, max_waiting=1).submit(new_job("a"))
    (claim,) = (await job_leases.step("w", 1, ["default"], [], slots=1, lease=9, retention=RETENTION)).claims
    line = b'%d 0 {"attempt":1,"message":"%b","fields":{}}'
    await job_leases.report([AttemptReport(claim, lines=line % (1, b"one"))])
    done = Finished(claim, Outcome(OutcomeKind.COMPLETED, b"1"), lines=line % (2, b"two"))
    await job_leases.step("w", 2, ["default"], [done], slots=0, lease=9, retention=RETENTION)


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (0, [(b"one", b""), (b"two", b""), (b"", b"4")]),
        (2, [(b"one", b""), (b"two", b""), (b"", b"4")]),
        (3, [(b"two", b""), (b"", b"4")]),
    ],
)
async def test_lines_come_before_the_record_that_announces_them_and_not_again_to_who_comes_back(
    version: int, expected: list[tuple[bytes, bytes]], redis: Redis, changes: Changes
):
    assert await told(redis, changes, version=version) == expected
