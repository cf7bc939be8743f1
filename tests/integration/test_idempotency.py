"""One idempotency key makes one job, however often and from wherever it comes."""

import asyncio

import pytest
from redis.asyncio import Redis

from dev.stack import Stack
from shared.errors import IdempotencyConflict, JobExpired, QueueFull
from shared.store import redis_keys
from shared.store.client import connect
from UNKNOWN_shared.store.job_store import JobStore
from UNKNOWN_shared.store.model import Entry
from shared.store.job_leases import OutcomeKind
from shared.store.retention import Retention
from shared.store.multiplexer import Multiplexer

FIELDS = {"type": "echo", "params": b"{}", "max_attempts": 3, "request_id": "r"}


def entry(job_id: str, *, key: str = "me:k", digest: str = "aa", queue: str = "default") -> Entry:
    return Entry(job_id, queue, b"m", FIELDS, idempotency_key=key, digest=digest)


async def submit(store: JobStore, *entries: Entry, max_waiting: int = 10) -> list[tuple[str, bool]]:
    submitted = await store.submit(*entries, max_waiting=max_waiting)
    return [(record.job_id, replayed) for record, replayed in submitted]


async def test_the_same_key_and_digest_bring_the_same_job_again(store: JobStore, server: Redis):
    assert await submit(store, entry("a")) == [("a", False)]
    assert await submit(store, entry("b")) == [("a", True)]
    assert await server.zcard(redis_keys.INDEX) == 1
    assert await server.zcard(redis_keys.QUEUE + "default") == 1


async def test_a_replay_brings_the_record_as_it_is_now(store: JobStore, worker):
    await submit(store, entry("a"))
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"7")
    ((record, replayed),) = await store.submit(entry("b"), max_waiting=10)
    assert replayed
    assert record == await store.get("a")


async def test_another_digest_is_a_conflict_and_changes_nothing(store: JobStore, server: Redis):
    await submit(store, entry("a"))
    with pytest.raises(IdempotencyConflict, match="job a"):
        await submit(store, entry("b", digest="bb"))
    assert await server.zcard(redis_keys.INDEX) == 1


async def test_a_lost_reply_is_no_replay(store: JobStore):
    assert await submit(store, entry("a")) == [("a", False)]
    assert await submit(store, entry("a")) == [("a", False)]


async def test_callers_do_not_share_keys(store: JobStore):
    assert await submit(store, entry("a", key="me:k")) == [("a", False)]
    assert await submit(store, entry("b", key="you:k")) == [("b", False)]


async def test_a_key_lives_for_a_day_however_short_its_record(store: JobStore, server: Redis):
    await submit(store, entry("a"))
    assert 86_390 < await server.ttl(redis_keys.IDEMPOTENCY + "me:k") <= 86_400
    await server.delete(redis_keys.RECORD + "a")
    for _ in range(2):
        with pytest.raises(JobExpired, match="The job a, which this Idempotency-Key made, has ended"):
            await submit(store, entry("b"))
    with pytest.raises(IdempotencyConflict):
        await submit(store, entry("b", digest="cc"))
    assert not await server.exists(redis_keys.RECORD + "b")
    await server.delete(redis_keys.IDEMPOTENCY + "me:k")
    assert await submit(store, entry("b")) == [("b", False)]


async def test_a_full_queue_still_answers_a_replay(store: JobStore):
    await submit(store, entry("a"), max_waiting=1)
    assert await submit(store, entry("b"), max_waiting=1) == [("a", True)]
    with pytest.raises(QueueFull):
        await submit(store, entry("b", key="me:other"), max_waiting=1)


async def test_a_hundred_racing_requests_make_one_job(redis_stack: Stack, redis: Redis):
    connections = [Multiplexer(connect(redis_stack.redis_url)) for _ in range(10)]
    calls = [submit(JobStore(connections[n % 10], Retention()), entry(f"j{n}")) for n in range(100)]
    answers = [answer for (answer,) in await asyncio.gather(*calls)]
    assert len({job_id for job_id, _ in answers}) == 1
    assert sum(not replayed for _, replayed in answers) == 1
    assert await redis.zcard(redis_keys.INDEX) == 1
    for connection in connections:
        await connection.aclose()


async def test_a_batch_is_accepted_as_a_whole_or_not_at_all(store: JobStore, server: Redis):
    batch = [entry(f"b{n}", key="") for n in range(3)]
    with pytest.raises(QueueFull):
        await submit(store, *batch, max_waiting=2)
    assert not await server.exists(redis_keys.INDEX)
    assert await submit(store, *batch, max_waiting=3) == [("b0", False), ("b1", False), ("b2", False)]
    assert await server.zcard(redis_keys.INDEX_OF + "pending") == 3


async def test_each_queue_of_a_batch_has_its_own_room(store: JobStore):
    batch = [entry("a", key="", queue="one"), entry("b", key="", queue="two")]
    assert len(await submit(store, *batch, max_waiting=1)) == 2


async def test_a_conflict_in_a_batch_refuses_all_of_it(store: JobStore, server: Redis):
    await submit(store, entry("a"))
    with pytest.raises(IdempotencyConflict):
        await submit(store, entry("new", key="me:new"), entry("b", digest="bb"))
    assert not await server.exists(redis_keys.RECORD + "new")


async def test_a_batch_of_a_thousand_is_one_call(store: JobStore, server: Redis):
    batch = [entry(f"b{n}", key=f"me:{n}") for n in range(1000)]
    assert len(await submit(store, *batch, max_waiting=1000)) == 1000
    assert await submit(store, *batch, max_waiting=1000) == [(f"b{n}", False) for n in range(1000)]
    assert await server.zcard(redis_keys.QUEUE + "default") == 1000
