"""Scheduled jobs, and jobs that must start in time or not at all."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from job_types.echo.contract import ECHO
from shared.record import JobState
from shared.store import redis_keys, throughput
from shared.store.cancel_results import CancelResult
from shared.store.job_leases import OutcomeKind
from shared.store.job_queue import JobQueue
from shared.store.redis_calls import RedisCalls
from shared.store.submission import NewJob
from shared.store.throughput import Throughput
from tests.new_jobs import RETENTION, new_job


@pytest.fixture
def schedule(job_queue: JobQueue):
    async def schedule(job_id: str, **when: Any):
        record, _ = await job_queue.submit(new_job(job_id, **when))
        return record

    return schedule


@pytest.fixture
def too_late(server: Redis):
    """Let the time come by which a job had to start."""

    async def too_late(job_id: str) -> None:
        assert await server.zadd(redis_keys.START_BY, {job_id: 1}, xx=True, ch=True)
        await server.hset(redis_keys.RECORD + job_id, "start_by", 1)

    return too_late


async def test_a_delay_counts_from_now_by_the_clock_of_redis(schedule, worker, due):
    record = await schedule("a", delay_seconds=60)
    assert int(record.fields[b"run_at"]) == int(record.fields[b"created_at"]) + 60_000
    assert await worker.claim() == []
    await due("a")
    assert len(await worker.claim()) == 1


async def test_a_time_that_has_passed_by_the_clock_of_redis_gives_no_place_before_others(schedule, worker):
    await schedule("first")
    record = await schedule("later", run_at=datetime(2000, 1, 1, tzinfo=UTC))
    assert b"run_at" not in record.fields
    assert [claim.job_id for claim in await worker.claim(slots=2)] == ["first", "later"]


async def test_an_api_whose_clock_is_ahead_starts_no_job_early(redis: Redis, monkeypatch: pytest.MonkeyPatch):
    run_at = datetime.now(UTC) + timedelta(minutes=30)
    queue = JobQueue(redis, RETENTION, max_waiting=10)
    ahead = time.time() + 3600
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: ahead)
        submitted = await queue.submit(NewJob(ECHO, b"{}", "r", run_at=run_at))
    due = await redis.zscore(redis_keys.QUEUE + "default", submitted.record.job_id)
    assert abs(due / 1000 - run_at.timestamp()) < 0.002


async def test_what_is_due_at_once_has_no_run_at(schedule, job_queue):
    await schedule("a")
    assert b"run_at" not in (await job_queue.get("a")).fields


async def test_the_submission_and_the_store_show_the_same(schedule, job_queue):
    assert await schedule("a", delay_seconds=1, start_within_seconds=0.5) == await job_queue.get("a")


async def test_the_time_to_start_in_counts_from_when_it_is_due(schedule):
    record = await schedule("a", delay_seconds=60, start_within_seconds=5)
    assert int(record.fields[b"start_by"]) == int(record.fields[b"run_at"]) + 5000


@pytest.mark.parametrize("by", ["a step", "the upkeep", "a reader"])
async def test_a_job_that_is_not_started_in_time_fails(
    schedule, job_queue, upkeep, server, worker, too_late, by, indexes_agree
):
    await schedule("a", start_within_seconds=60)
    await too_late("a")
    if by == "a step":
        assert await worker.claim() == []
    elif by == "the upkeep":
        await upkeep.run(["default"])
    record = await job_queue.get("a")
    assert (record.state, record.version) == (JobState.FAILED, 2)
    (error,) = json.loads(record.fields[b"errors"])
    assert (error["code"], error["attempt"]) == ("job_expired", 0)
    assert await server.ttl(redis_keys.RECORD + "a") > 190
    for key in (redis_keys.START_BY, redis_keys.MESSAGE + "a", redis_keys.QUEUE + "default"):
        assert not await server.exists(key)
    await indexes_agree()


async def test_late_jobs_beyond_what_one_sweep_takes_do_not_start(schedule, server, worker, too_late):
    for n in range(101):
        await schedule(f"j{n:03}", start_within_seconds=60)
        await too_late(f"j{n:03}")
    assert await worker.claim(101) == []
    assert await server.zcard(redis_keys.INDEX_OF + "failed") == 101
    assert not await server.exists(redis_keys.START_BY, redis_keys.QUEUE + "default")


async def test_a_late_reader_of_a_retried_job_sees_its_place(schedule, job_queue, worker, too_late, server):
    await schedule("a", start_within_seconds=60)
    await worker.finish(await worker.claim_one(), OutcomeKind.RETRY, b'{"code":"c","attempt":1}')
    await server.hset(redis_keys.RECORD + "a", "start_by", 1)
    record = await job_queue.get("a")
    assert (record.state, record.position) == (JobState.PENDING, 1)
    assert len(await worker.claim()) == 1


async def test_a_job_that_was_started_in_time_has_no_deadline_any_more(
    schedule, job_queue, server, worker, too_late
):
    await schedule("a", start_within_seconds=60)
    claim = await worker.claim_one()
    assert not await server.exists(redis_keys.START_BY)
    await worker.finish(claim, OutcomeKind.RETRY, b'{"code":"c","attempt":1}', delay=1)
    await worker.step()
    record = await job_queue.get("a")
    assert record.state is JobState.PENDING
    assert b"start_by" in record.fields


async def test_a_returned_claim_leaves_the_deadline_of_its_job(schedule, worker, server, too_late):
    """Its handler was not started."""
    await schedule("a", start_within_seconds=60)
    await worker.finish(await worker.claim_one(), OutcomeKind.RETURNED)
    await too_late("a")
    assert await worker.claim() == []
    assert not await server.exists(redis_keys.START_BY, redis_keys.QUEUE + "default")


async def test_a_returned_claim_of_a_job_that_has_started_before_brings_no_deadline_back(
    schedule, worker, server
):
    await schedule("a", start_within_seconds=60)
    await worker.finish(await worker.claim_one(), OutcomeKind.RELEASED)
    await worker.finish(await worker.claim_one(), OutcomeKind.RETURNED)
    assert not await server.exists(redis_keys.START_BY)


async def test_a_cancelled_job_leaves_no_deadline(schedule, job_queue, server):
    await schedule("a", start_within_seconds=60)
    verdict, _ = await job_queue.cancel("a")
    assert verdict is CancelResult.CANCELLED
    assert not await server.exists(redis_keys.START_BY)


async def test_an_idle_worker_is_told_of_the_next_deadline(schedule, worker):
    await schedule("a", delay_seconds=3600, start_within_seconds=1)
    await schedule("b", delay_seconds=3600)
    assert 3590 < (await worker.step(slots=1)).wait <= 3600
    await schedule("c", start_within_seconds=30)
    step = await worker.step(slots=1)
    assert [claim.job_id for claim in step.claims] == ["c"]


async def test_a_full_worker_is_told_when_the_next_job_is_due(schedule, worker, server):
    await schedule("now")
    await schedule("later", delay_seconds=60)
    await server.delete(redis_keys.WAKE + "default")
    step = await worker.step(slots=1)
    assert len(step.claims) == 1
    assert 55 < step.wait <= 60
    assert not await server.exists(redis_keys.WAKE + "default")


async def test_a_full_worker_wakes_another_one_when_a_job_has_become_due(schedule, worker, server, due):
    await schedule("later", delay_seconds=60)
    await worker.step(slots=1)
    await due("later")
    await worker.step(slots=0)
    assert await server.llen(redis_keys.WAKE + "default") == 1


async def test_the_rate_at_which_jobs_end_counts_every_end(schedule, job_queue, server, worker, monkeypatch):
    for name in "abc":
        await schedule(name)
    for kind in (OutcomeKind.COMPLETED, OutcomeKind.FAILED):
        await worker.finish(await worker.claim_one(), kind, b'{"code":"c"}')
    await job_queue.cancel("c")
    assert await Throughput(RedisCalls(server), RETENTION).jobs_per_second() == 3 / 60
    monkeypatch.setattr(throughput, "WINDOW_SECONDS", -60)
    assert await Throughput(RedisCalls(server), RETENTION).jobs_per_second() == 0


async def test_the_place_in_the_queue(schedule, job_queue, worker):
    for name in "ab":
        await schedule(name)
    assert [(await job_queue.get(name)).position for name in "ab"] == [1, 2]
    await worker.claim_one()
    assert [(await job_queue.get(name)).position for name in "ab"] == [0, 1]


async def test_the_upkeep_fails_many_late_jobs_in_short_calls_and_says_whether_more_are_left(
    job_queue, upkeep, server
):
    names = [f"late-{number:03}" for number in range(150)]
    await job_queue.submit_all([new_job(name, start_within_seconds=60) for name in names])
    await server.zadd(redis_keys.START_BY, dict.fromkeys(names, 1))
    assert (await upkeep.run(["default"])).more
    assert await server.zcard(redis_keys.START_BY) == 50
    await upkeep.run(["default"])
    assert not (await upkeep.run(["default"])).more
    assert {(await job_queue.get(name)).state for name in names} == {JobState.FAILED}
