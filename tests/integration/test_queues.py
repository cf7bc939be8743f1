"""Queues: their states, pauses, and the jobs that wait in a paused one."""

import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from redis.asyncio import Redis

from shared.record import JobState
from shared.store import redis_keys
from shared.store.job_leases import Finished, Outcome, OutcomeKind
from shared.store.job_list import Filters
from shared.store.queues import Queues
from shared.stored_record import StoredRecord
from tests.new_jobs import new_job

LATER = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def queues(server: Redis) -> Queues:
    return Queues(server, ["default", "unused"])


def says_paused(record: StoredRecord) -> bool:
    paused: bool = orjson.loads(record.to_json(payload=()))["queue_paused"]
    return paused


async def test_an_unknown_queue_has_no_jobs(queues):
    state = await queues.one("nobody")
    assert (state.ready, state.scheduled, state.running, state.oldest_wait) == (0, 0, 0, 0.0)
    assert (state.pause, state.workers, state.concurrency) == (None, 0, 0)
    assert set(state.ended.values()) == {0}


async def test_the_state_counts_jobs_and_workers(queues, submit, worker, other):
    for job_id in "abc":
        await submit(job_id)
    await submit("later", run_at=LATER)
    await worker.beat(running=1)
    await other.beat()
    await worker.claim_one()
    state = await queues.one("default")
    assert (state.ready, state.scheduled, state.running) == (2, 1, 1)
    assert (state.workers, state.concurrency) == (2, 20)


async def test_the_oldest_wait_counts_from_the_due_time(queues, submit, server):
    await submit("a")
    seconds, _ = await server.time()
    await server.zadd(redis_keys.QUEUE + "default", {"a": (seconds - 60) * 1000})
    assert 59 <= (await queues.one("default")).oldest_wait < 90


async def test_ended_jobs_are_counted_by_state(queues, submit, worker, job_queue):
    for job_id in "abcd":
        await submit(job_id)
    await worker.finish_next(OutcomeKind.COMPLETED)
    await worker.finish_next(OutcomeKind.COMPLETED)
    await worker.finish_next(OutcomeKind.FAILED, {"code": "x", "message": "", "hint": "", "retryable": False})
    await job_queue.cancel("d")
    ended = (await queues.one("default")).ended
    assert ended == {JobState.COMPLETED: 2, JobState.FAILED: 1, JobState.CANCELLED: 1}


async def test_all_are_those_with_jobs_with_workers_paused_or_known(queues, submit, new_worker):
    await submit("a", "busy")
    await new_worker("served").beat()
    await queues.pause("stopped", None, "")
    assert [state.name for state in await queues.all()] == ["busy", "default", "served", "stopped", "unused"]


async def test_a_paused_queue_is_not_claimed_from(queues, submit, worker):
    await submit("a")
    await queues.pause("default", "ops", "the disk is full")
    step = await worker.step(slots=5)
    assert (step.claims, step.paused) == ([], {"default"})
    await queues.resume("default")
    step = await worker.step(slots=5)
    assert ([claim.job_id for claim in step.claims], step.paused) == (["a"], frozenset())


async def test_another_queue_of_the_worker_goes_on(queues, submit, new_worker):
    await submit("a", "stopped")
    await submit("b", "open")
    await queues.pause("stopped", None, "")
    assert [claim.job_id for claim in await new_worker("stopped", "open").claim(5)] == ["b"]


async def test_a_running_job_goes_on_and_a_failed_attempt_waits(queues, submit, worker, job_queue):
    await submit("a")
    await submit("b")
    first, second = await worker.claim(2)
    await queues.pause("default", None, "")
    assert await worker.finish(first, OutcomeKind.COMPLETED, b"1")
    assert await worker.finish(second, OutcomeKind.RETRY, b'{"code":"x"}')
    assert await worker.claim(5) == []
    assert (await job_queue.get("b")).state is JobState.PENDING


async def test_the_pause_says_who_when_and_why(queues):
    before = (await queues.one("default")).pause
    assert before is None
    pause = (await queues.pause("default", "ops", "the disk is full")).pause
    assert (pause.by, pause.reason) == ("ops", "the disk is full")
    assert abs(pause.at / 1000 - datetime.now(UTC).timestamp()) < 5
    assert (await queues.pause("default", None, "")).pause[::2] == (None, "")
    assert (await queues.resume("default")).pause is None


async def test_a_waiting_job_says_that_its_queue_is_paused(queues, submit, worker, job_queue):
    await submit("a")
    await queues.pause("default", None, "")
    answered = await submit("b")
    listed = (await job_queue.page(Filters(), limit=5, after=None)).records
    records = [answered, await job_queue.get("a"), *listed]
    assert [says_paused(record) for record in records] == [True] * 4
    await queues.resume("default")
    assert not says_paused(await job_queue.get("b"))


async def test_a_running_job_does_not_wait_for_its_queue(queues, submit, worker, job_queue):
    await submit("a")
    await worker.claim_one()
    await queues.pause("default", None, "")
    assert not says_paused(await job_queue.get("a"))


async def test_a_large_record_says_that_its_queue_is_paused(queues, job_queue):
    await queues.pause("default", None, "")
    await job_queue.submit(new_job("a", params=b'{"message":"%b"}' % (b"x" * 100_000)))
    assert says_paused(await job_queue.get("a"))


async def test_new_jobs_of_a_paused_queue_wake_no_worker(queues, submit, server):
    await queues.pause("default", None, "")
    await submit("a")
    assert await server.llen(redis_keys.WAKE + "default") == 0
    await queues.resume("default")
    assert await server.llen(redis_keys.WAKE + "default") == 1


async def test_a_worker_does_not_look_again_and_again_at_a_paused_queue(queues, submit, worker):
    await submit("a")
    await queues.pause("default", None, "")
    assert (await worker.step(slots=5)).wait is None


async def test_a_claim_that_was_made_before_the_pause_is_given_again(queues, submit, worker):
    """The reply to the step was lost: the job runs already, as far as Redis knows."""
    await submit("a")
    await worker.claim_one()
    await queues.pause("default", None, "")
    step = await worker.step(slots=1, number=worker.steps)
    assert [claim.job_id for claim in step.claims] == ["a"]


async def test_no_claim_comes_after_the_answer_to_a_pause(queues, submit, new_worker, server):
    """Four workers claim all the time; jobs that Redis has given out before the answer are all there are."""
    workers = [new_worker() for _ in range(4)]
    for n in range(200):
        await submit(f"j{n}")
    claimed: list[str] = []
    ended = asyncio.Event()  # a cancellation may be swallowed by a library of the connection

    async def work(worker) -> None:
        while not ended.is_set():
            step = await worker.step(slots=2)
            claimed.extend(claim.job_id for claim in step.claims)
            await worker.step(
                *(Finished(claim, Outcome(OutcomeKind.COMPLETED, b"1")) for claim in step.claims)
            )

    tasks = [asyncio.create_task(work(worker)) for worker in workers]
    while len(claimed) < 40:
        await asyncio.sleep(0)
    waiting = (await queues.pause("default", None, "")).ready
    assert [(await worker.step(slots=2)).claims for worker in workers] == [[]] * 4
    ended.set()
    await asyncio.gather(*tasks)
    assert await server.zcard(redis_keys.QUEUE + "default") == waiting > 0


async def test_a_full_redis_lets_queues_be_paused_and_resumed(redis):
    queues = Queues(redis, [])
    await redis.config_set("maxmemory", 1)
    try:
        assert (await queues.pause("default", None, "Redis is full")).pause
        assert not (await queues.resume("default")).pause
    finally:
        await redis.config_set("maxmemory", 0)
