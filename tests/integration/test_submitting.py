"""Submissions to the store: a job is accepted whole or not at all."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from redis.asyncio import Redis

from dev.stack import PATIENCE
from shared.errors import JobNotFound, QueueFull
from shared.record import JobState
from shared.store import redis_keys
from shared.store.job_leases import AttemptReport, OutcomeKind
from shared.store.job_queue import JobQueue, QueueCounts
from shared.store.scripts import SUBMIT
from tests.new_jobs import RETENTION, new_job


async def test_a_submitted_job_is_pending_and_whole(submit, job_queue, server, indexes_agree):
    record = await submit("a")
    assert record.state is JobState.PENDING
    stored = await job_queue.get("a")
    assert stored == record
    assert stored.version == 1
    message = orjson.loads(await server.get(redis_keys.MESSAGE + "a"))
    assert message == {"t": None, "f": "echo", "a": ["a"], "k": {}, "et": int(stored.fields[b"created_at"])}
    assert await server.zscore(redis_keys.QUEUE + "default", "a") == int(stored.fields[b"created_at"])
    assert await server.ttl(redis_keys.RECORD + "a") == -1
    await indexes_agree()


async def test_a_repeated_submit_changes_nothing(submit, job_queue, server, worker):
    first = await submit("a")
    assert await submit("a") == first
    assert await job_queue.queue_counts("default") == QueueCounts(waiting=1, running=0)
    claim = await worker.claim_one()
    await worker.finish(claim, OutcomeKind.COMPLETED, b"1")
    await submit("a")
    assert (await job_queue.get("a")).state is JobState.COMPLETED
    assert await worker.claim() == []
    assert not await server.exists(redis_keys.MESSAGE + "a")


async def test_a_full_queue_refuses_and_keeps_no_trace(submit, server):
    await submit("a", max_waiting=1)
    with pytest.raises(QueueFull, match="The queue 'default' is full; waiting jobs: 1"):
        await submit("b", max_waiting=1)
    assert not [key async for key in server.scan_iter() if key.endswith(b"b")]
    assert await server.zrange(redis_keys.INDEX, 0, -1) == [b"a"]


async def test_a_full_queue_still_answers_the_repeat_of_a_job_that_it_took(submit):
    first = await submit("a", max_waiting=1)
    assert await submit("a", max_waiting=1) == first


async def test_one_full_queue_leaves_the_others_open(submit):
    await submit("a", "narrow", max_waiting=1)
    record = await submit("b", "wide", max_waiting=1)
    assert record.state is JobState.PENDING


async def test_a_missing_job_is_not_found(job_queue):
    with pytest.raises(JobNotFound, match="'nobody'"):
        await job_queue.get("nobody")


async def test_many_new_jobs_leave_one_wake_up(submit, job_leases, server, worker):
    for name in "abc":
        await submit(name)
    assert await server.lrange(redis_keys.WAKE + "default", 0, -1) == [b"1"]
    assert await job_leases.wait_for_wake_up(["other", "default"], 0.01) == "default"
    assert await job_leases.wait_for_wake_up(["other", "default"], 0.01) is None


async def test_a_full_worker_leaves_a_wake_up_for_the_other_jobs(submit, server, worker):
    for name in "abc":
        await submit(name)
    await server.delete(redis_keys.WAKE + "default")
    await worker.claim(slots=2)
    assert await server.llen(redis_keys.WAKE + "default") == 1
    await worker.claim(slots=2)
    assert await server.exists(redis_keys.WAKE + "default") == 0


async def test_a_worker_that_took_all_it_can_wakes_nobody_for_a_job_of_later(submit, server, worker):
    await submit("now")
    await submit("later", run_at=datetime.now(UTC) + timedelta(minutes=1))
    await server.delete(redis_keys.WAKE + "default")
    await worker.claim(slots=1)
    assert await server.exists(redis_keys.WAKE + "default") == 0


async def test_a_scheduled_job_wakes_a_worker_to_learn_of_it(submit, job_leases, worker):
    await submit("later", run_at=datetime.now(UTC) + timedelta(minutes=1))
    assert await job_leases.wait_for_wake_up(["default"], 0.01) == "default"
    assert 55 < (await worker.step(slots=1)).wait <= 60


async def test_a_wake_up_can_be_returned(job_leases, server):
    await job_leases.return_wake_up("default")
    assert await job_leases.wait_for_wake_up(["default"], 0.01) == "default"


async def test_a_forgetful_redis_gets_its_scripts_again(submit, job_queue, job_leases, server, worker):
    await submit("a")
    await server.script_flush()
    claim = await worker.claim_one()
    await server.script_flush()
    assert await worker.finish(claim, OutcomeKind.COMPLETED, b"1")
    await server.script_flush()
    await job_leases.beat(worker.info, [], running=0, lease=60)
    assert (await job_queue.get("a")).done


async def test_a_forgetful_redis_disturbs_no_neighbour_in_the_same_pipeline(server: Redis):
    job_queue = JobQueue(server, RETENTION, max_waiting=10)
    await job_queue.ping()
    await server.script_flush()
    await job_queue.submit(new_job("a"))
    assert (await job_queue.get("a")).state is JobState.PENDING
    assert len(SUBMIT.sha) == 40


async def test_a_change_of_an_accepted_job_is_announced_with_its_version(submit, server, worker, job_leases):
    async with server.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe(redis_keys.CHANGES + "a")
        await subscription.get_message(timeout=PATIENCE)
        await submit("a")
        claim = await worker.claim_one()
        await job_leases.report([AttemptReport(claim, b'{"fraction":0.5,"message":""}')])
        await worker.finish(claim, OutcomeKind.COMPLETED, b"1")
        versions = []
        while len(versions) < 3 and (message := await subscription.get_message(timeout=PATIENCE)):
            versions.append(message["data"])
    assert versions == [b"2", b"3", b"4 done"]
