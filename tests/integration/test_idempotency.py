"""Idempotency keys: each makes a single job, however often and from wherever it comes."""

import asyncio

import pytest
from redis.asyncio import Redis

from dev.stack import Stack
from shared.errors import IdempotencyConflict, JobExpired, QueueFull
from shared.store import redis_keys
from shared.store.client import Runner, connect
from shared.store.job_leases import OutcomeKind
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from shared.store.submission import NewJob
from tests.new_jobs import RETENTION, new_job


def keyed(
    job_id: str, *, caller: str = "me", key: str | None = "k", work: str = "a", queue: str = "default"
) -> NewJob:
    """A new job with an idempotency key, if one is given, and the digest of this work."""
    params = b'{"message":"%b"}' % work.encode()
    return new_job(job_id, queue, params=params, caller=caller, idempotency_key=key)


async def submit(redis: Runner, *jobs: NewJob, max_waiting: int = 1000) -> list[tuple[str, bool]]:
    submitted = await JobQueue(redis, RETENTION, max_waiting=max_waiting).submit_all(jobs)
    return [(record.job_id, replayed) for record, replayed in submitted]


async def test_the_same_key_and_digest_bring_the_same_job_again(server: Redis):
    assert await submit(server, keyed("a")) == [("a", False)]
    assert await submit(server, keyed("b")) == [("a", True)]
    assert await server.zcard(redis_keys.INDEX) == 1
    assert await server.zcard(redis_keys.QUEUE + "default") == 1


async def test_a_replay_brings_the_record_as_it_is_now(job_queue: JobQueue, server: Redis, worker):
    await submit(server, keyed("a"))
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"7")
    record, replayed = await job_queue.submit(keyed("b"))
    assert replayed
    assert record == await job_queue.get("a")


async def test_another_digest_is_a_conflict_and_changes_nothing(server: Redis):
    await submit(server, keyed("a"))
    with pytest.raises(IdempotencyConflict, match="job a"):
        await submit(server, keyed("b", work="b"))
    assert await server.zcard(redis_keys.INDEX) == 1


async def test_a_lost_reply_is_no_replay(server: Redis):
    assert await submit(server, keyed("a")) == [("a", False)]
    assert await submit(server, keyed("a")) == [("a", False)]


async def test_callers_do_not_share_keys(server: Redis):
    assert await submit(server, keyed("a", caller="me")) == [("a", False)]
    assert await submit(server, keyed("b", caller="you")) == [("b", False)]


async def test_a_key_lives_for_a_day_however_short_its_record(server: Redis):
    await submit(server, keyed("a"))
    assert 86_390 < await server.ttl(redis_keys.IDEMPOTENCY + "me:k") <= 86_400
    await server.delete(redis_keys.RECORD + "a")
    for _ in range(2):
        with pytest.raises(JobExpired, match="The job a, which this Idempotency-Key made, has ended"):
            await submit(server, keyed("b"))
    with pytest.raises(IdempotencyConflict):
        await submit(server, keyed("b", work="c"))
    assert not await server.exists(redis_keys.RECORD + "b")
    await server.delete(redis_keys.IDEMPOTENCY + "me:k")
    assert await submit(server, keyed("b")) == [("b", False)]


async def test_a_full_queue_still_answers_a_replay(server: Redis):
    await submit(server, keyed("a"), max_waiting=1)
    assert await submit(server, keyed("b"), max_waiting=1) == [("a", True)]
    with pytest.raises(QueueFull):
        await submit(server, keyed("b", key="other"), max_waiting=1)


async def test_a_hundred_racing_requests_make_one_job(redis_stack: Stack, redis: Redis):
    connections = [Multiplexer(connect(redis_stack.redis_url)) for _ in range(10)]
    calls = [submit(connections[n % 10], keyed(f"j{n}")) for n in range(100)]
    answers = [answer for (answer,) in await asyncio.gather(*calls)]
    assert len({job_id for job_id, _ in answers}) == 1
    assert sum(not replayed for _, replayed in answers) == 1
    assert await redis.zcard(redis_keys.INDEX) == 1
    for connection in connections:
        await connection.aclose()


async def test_a_batch_is_accepted_as_a_whole_or_not_at_all(server: Redis):
    batch = [keyed(f"b{n}", key=None) for n in range(3)]
    with pytest.raises(QueueFull):
        await submit(server, *batch, max_waiting=2)
    assert not await server.exists(redis_keys.INDEX)
    assert await submit(server, *batch, max_waiting=3) == [("b0", False), ("b1", False), ("b2", False)]
    assert await server.zcard(redis_keys.QUEUE + "default") == 3


async def test_each_queue_of_a_batch_has_its_own_room(server: Redis):
    batch = [keyed("a", key=None, queue="one"), keyed("b", key=None, queue="two")]
    assert len(await submit(server, *batch, max_waiting=1)) == 2


async def test_a_conflict_in_a_batch_refuses_all_of_it(server: Redis):
    await submit(server, keyed("a"))
    with pytest.raises(IdempotencyConflict):
        await submit(server, keyed("new", key="new"), keyed("b", work="b"))
    assert not await server.exists(redis_keys.RECORD + "new")


async def test_a_batch_of_a_thousand_is_one_call(server: Redis):
    batch = [keyed(f"b{n}", key=str(n)) for n in range(1000)]
    assert len(await submit(server, *batch, max_waiting=1000)) == 1000
    assert await submit(server, *batch, max_waiting=1000) == [(f"b{n}", False) for n in range(1000)]
    assert await server.zcard(redis_keys.QUEUE + "default") == 1000
