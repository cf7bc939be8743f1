"""Claims in the store: the worker that gets a job, and when."""

import time
from datetime import UTC, datetime, timedelta

import orjson

from shared.record import JobState
from shared.store import redis_keys
from shared.traces.context import TraceContext


def job_id_in(message):
    (job_id,) = orjson.loads(message)["a"]
    return job_id


def ids(claims):
    return [claim.job_id for claim in claims]


async def test_jobs_are_claimed_in_due_order(submit, worker, server):
    for name, due in (("late", 3), ("early", 1), ("middle", 2)):
        await submit(name)
        await server.zadd(redis_keys.QUEUE + "default", {name: due})
    assert ids(await worker.claim(slots=3)) == ["early", "middle", "late"]


async def test_queues_are_served_in_strict_order(submit, new_worker):
    await submit("slow", "low")
    await submit("quick", "high")
    worker = new_worker("high", "low")
    assert ids(await worker.claim(slots=1)) == ["quick"]
    await submit("quicker", "high")
    assert ids(await worker.claim(slots=2)) == ["quicker", "slow"]


async def test_a_worker_leaves_other_queues_alone(submit, new_worker):
    await submit("a", "video")
    assert await new_worker("default").claim(slots=5) == []
    assert ids(await new_worker("video").claim(slots=5)) == ["a"]


async def test_no_more_is_claimed_than_there_are_slots(submit, worker, job_queue):
    for n in range(5):
        await submit(f"job-{n}")
    assert ids(await worker.claim(slots=2)) == ["job-0", "job-1"]
    assert ids(await worker.claim(slots=0)) == []
    assert (await job_queue.queue_counts("default")).waiting == 3


async def test_a_job_goes_to_one_worker_only(submit, worker, other):
    await submit("a")
    assert ids(await worker.claim()) == ["a"]
    assert await other.claim() == []


async def test_a_claim_carries_what_the_worker_needs(submit, worker):
    await submit("a", max_attempts=7)
    claim = await worker.claim_one()
    assert (claim.queue, claim.job_id, claim.fencing_token, claim.attempt, claim.max_attempts) == (
        "default", "a", 1, 1, 7,
    )  # fmt: skip
    assert (job_id_in(claim.message), claim.params, claim.request_id) == ("a", b'{"message":1}', "r-a")
    assert claim.lease == "1:a"
    assert claim.trace == b""


async def test_a_claim_carries_the_trace_of_its_job_and_so_does_its_repeat(submit, worker):
    trace = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")
    await submit("a", trace=trace)
    assert TraceContext.of_stored((await worker.claim_one()).trace) == trace
    step = await worker.step(slots=1, number=worker.steps)
    assert [TraceContext.of_stored(claim.trace) for claim in step.claims] == [trace]


async def test_a_claimed_job_shows_that_it_runs(submit, worker, job_queue, server, indexes_agree):
    await submit("a")
    await worker.claim_one()
    record = await job_queue.get("a")
    assert record.state is JobState.RUNNING
    assert (record.version, record.fields[b"attempt"], record.fields[b"claims"]) == (2, b"1", b"1")
    assert record.fields[b"worker"] == worker.name.encode()
    assert abs(int(record.fields[b"started_at"]) - time.time() * 1000) < 10_000
    left = await server.zscore(redis_keys.LEASES + "default", "1:a") - time.time() * 1000
    assert 50_000 < left < 61_000
    await indexes_agree()


async def test_a_scheduled_job_waits_until_it_is_due(submit, worker, due):
    await submit("a", run_at=datetime.now(UTC) + timedelta(minutes=1))
    step = await worker.step(slots=1)
    assert step.claims == []
    assert 55 < step.wait <= 60
    await due("a")
    assert ids(await worker.claim()) == ["a"]


async def test_a_worker_with_nothing_in_sight_is_told_so(worker):
    assert (await worker.step(slots=1)).wait is None


async def test_a_running_job_bounds_the_wait_by_its_lease(submit, worker, other):
    await submit("a")
    await worker.claim_one()
    assert 55 < (await other.step(slots=1)).wait <= 60


async def test_a_repeated_step_gets_the_same_claims(submit, worker, job_queue):
    for name in "abc":
        await submit(name)
    first = await worker.step(slots=2, number=5)
    again = await worker.step(slots=2, number=5)
    assert again.claims == first.claims
    assert len(first.claims) == 2
    assert (await job_queue.queue_counts("default")).running == 2
    assert [(await job_queue.get(i)).version for i in ids(first.claims)] == [2, 2]


async def test_a_repeated_step_does_not_get_back_what_it_has_lost(submit, worker, other):
    await submit("a")
    await submit("b")
    first, second = (await worker.step(slots=2, number=5)).claims
    await worker.lose(first)
    assert (await other.step(slots=1)).claims[0].fencing_token == 2
    assert (await worker.step(slots=2, number=5)).claims == [second]


async def test_an_older_step_claims_nothing(submit, worker):
    await submit("a")
    await submit("b")
    await worker.step(slots=1, number=5)
    assert (await worker.step(slots=1, number=4)).claims == []
    assert ids((await worker.step(slots=1, number=6)).claims) == ["b"]


async def test_an_older_step_leaves_the_wake_up_to_others(submit, worker, server):
    await submit("a")
    await worker.step(slots=1, number=5)
    await submit("b")
    assert await server.llen(redis_keys.WAKE + "default") == 1
    await worker.step(slots=1, number=4)
    assert await server.llen(redis_keys.WAKE + "default") == 1


async def test_two_workers_number_their_steps_on_their_own(submit, worker, other):
    await submit("a")
    await submit("b")
    await worker.step(slots=1, number=9)
    assert ids((await other.step(slots=1, number=1)).claims) == ["b"]


async def test_an_id_in_the_queue_without_a_record_is_dropped(worker, server, submit):
    await server.zadd(redis_keys.QUEUE + "default", {"ghost": 1})
    await submit("a")
    assert ids(await worker.claim(slots=2)) == ["a"]
    assert await server.zcard(redis_keys.QUEUE + "default") == 0


async def test_an_id_in_the_queue_of_a_job_that_has_ended_is_dropped(submit, job_queue, worker, server):
    await submit("a")
    await job_queue.cancel("a")
    before = await job_queue.get("a")
    await server.zadd(redis_keys.QUEUE + "default", {"a": 1})
    assert await worker.claim() == []
    assert await job_queue.get("a") == before
    assert await server.zcard(redis_keys.QUEUE + "default") == 0


async def test_a_job_without_a_message_is_claimed_with_an_empty_one(submit, worker, server):
    await submit("a")
    await submit("b")
    await server.delete(redis_keys.MESSAGE + "a")
    a, b = await worker.claim(slots=2)
    assert (a.job_id, a.message, job_id_in(b.message)) == ("a", b"", "b")


async def test_hundreds_of_jobs_fit_in_one_step(submit, worker, indexes_agree):
    for n in range(300):
        await submit(f"job-{n:03}")
    claims = await worker.claim(slots=1000)
    assert ids(claims) == [f"job-{n:03}" for n in range(300)]
    assert all(job_id_in(claim.message) == claim.job_id for claim in claims)
    await indexes_agree()
