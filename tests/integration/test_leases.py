"""Leases in the store: rescues, heartbeats, workers that leave, progress under the lease."""

import time

import orjson
import pytest

from shared import VERSION
from shared.record import JobState
from shared.store import redis_keys
from shared.store.job_leases import AttemptReport, Finished, Outcome, OutcomeKind

HALF = b'{"fraction":0.5,"message":"half"}'


async def test_a_lost_worker_costs_the_attempt_and_leaves_an_error(
    submit, worker, other, job_queue, indexes_agree
):
    await submit("a")
    await worker.lose(await worker.claim_one())
    step = await other.step(slots=0)
    assert (step.rescued, step.claims) == (["a"], [])
    record = (await job_queue.get("a")).parse()
    assert (record.state, record.attempt, record.version) == (JobState.PENDING, 1, 3)
    (error,) = record.errors
    assert (error.code, error.retryable, error.attempt) == ("worker_lost", True, 1)
    assert worker.name in error.message
    await indexes_agree()
    claim = await other.claim_one()
    assert (claim.attempt, claim.fencing_token) == (2, 2)


async def test_the_rescuing_step_may_claim_the_job_itself(submit, worker, other):
    await submit("a")
    await worker.lose(await worker.claim_one())
    step = await other.step(slots=1)
    assert [claim.lease for claim in step.claims] == ["2:a"]


async def test_the_last_lost_attempt_fails_the_job(
    submit, worker, other, job_queue, server, find_leaks, indexes_agree
):
    await submit("a", max_attempts=2)
    for _ in range(2):
        await worker.lose(await worker.claim_one())
        await other.step()
    record = (await job_queue.get("a")).parse()
    assert record.state is JobState.FAILED
    assert [(error.code, error.attempt) for error in record.errors] == [
        ("worker_lost", 1),
        ("worker_lost", 2),
    ]
    assert 0 <= 200 - await server.ttl(redis_keys.RECORD + "a") <= 2
    await indexes_agree()
    await other.step(slots=1)
    assert await find_leaks(server) == []


@pytest.mark.parametrize("max_attempts", [1, 3])
async def test_a_lost_job_that_was_to_be_cancelled_is_cancelled(
    max_attempts, submit, worker, other, job_queue, server, find_leaks
):
    await submit("a", max_attempts=max_attempts)
    claim = await worker.claim_one()
    await job_queue.cancel("a")
    await worker.lose(claim)
    await other.step(slots=1)
    assert (await job_queue.get("a")).state is JobState.CANCELLED
    assert 0 <= 300 - await server.ttl(redis_keys.RECORD + "a") <= 2
    assert await find_leaks(server) == []


async def test_many_leases_that_ran_out_together_all_return(submit, worker, other, server, indexes_agree):
    for n in range(150):
        await submit(f"job-{n}")
    claims = await worker.claim(slots=150)
    await server.zadd(redis_keys.LEASES + "default", {claim.lease: 1 for claim in claims})
    rescued = (await other.step()).rescued + (await other.step()).rescued
    assert sorted(rescued) == sorted(claim.job_id for claim in claims)
    await indexes_agree()


async def test_a_beat_renews_leases(submit, worker, job_queue, job_leases, server):
    await submit("a")
    claim = await worker.claim_one()
    await server.zadd(redis_keys.LEASES + "default", {claim.lease: 1})
    assert await job_leases.beat(worker.info, [claim], running=1, lease=60) == (set(), set())
    assert (await worker.step()).rescued == []
    assert (await job_queue.get("a")).version == 2


async def test_a_beat_brings_no_lease_back(submit, worker, other, job_leases, server):
    await submit("a")
    await submit("b")
    lost, held = await worker.claim(slots=2)
    await worker.lose(lost)
    await other.step()
    assert await job_leases.beat(worker.info, [lost, held], running=2, lease=60) == ({lost.lease}, set())
    assert await server.zscore(redis_keys.LEASES + "default", lost.lease) is None


@pytest.mark.parametrize("pump", [1, 2])
async def test_a_beat_renews_the_claims_of_a_step_under_way(submit, worker, job_leases, server, pump):
    for name in "abc":
        await submit(name)
    before, now, of_other_pump = [
        (await worker.step(slots=1, pump=number)).claims[0] for number in (pump, pump, 3 - pump)
    ]
    for claim in (before, now, of_other_pump):
        await server.zadd(redis_keys.LEASES + "default", {claim.lease: 1})
    steps = [(worker.name, pump, worker.steps - 1), ("nobody", 1, 1)]
    assert await job_leases.beat(worker.info, [], running=0, lease=60, steps=steps) == (set(), set())
    ends = [await server.zscore(redis_keys.LEASES + "default", c.lease) for c in (before, now, of_other_pump)]
    assert (ends[0], ends[1] > 1, ends[2]) == (1, True, 1)


async def test_the_steps_of_two_pumps_are_remembered_apart(submit, worker):
    for name in "ab":
        await submit(name)
    first = await worker.step(slots=1, number=7)
    second = await worker.step(slots=1, number=7, pump=2)
    assert [claim.job_id for claim in first.claims + second.claims] == ["a", "b"]
    assert (await worker.step(slots=1, number=7)).claims == first.claims
    assert (await worker.step(slots=1, number=7, pump=2)).claims == second.claims


async def test_a_worker_that_leaves_takes_the_steps_of_both_pumps_along(submit, worker, job_leases, server):
    for name in "ab":
        await submit(name)
    for pump in (1, 2):
        await worker.step(slots=1, pump=pump)
    await job_leases.leave(worker.name, ["default"])
    assert [key async for key in server.scan_iter(redis_keys.WORKER + "*")] == []


async def test_a_beat_brings_no_claim_of_a_step_back(submit, worker, other, job_leases, server):
    await submit("a")
    lost = await worker.claim_one()
    await worker.lose(lost)
    await other.step()
    await job_leases.beat(worker.info, [], running=0, lease=60, steps=[(worker.name, 1, worker.steps)])
    assert await server.zscore(redis_keys.LEASES + "default", lost.lease) is None


async def test_a_beat_tells_which_jobs_to_stop(submit, worker, job_queue, job_leases):
    await submit("a")
    await submit("b")
    first, second = await worker.claim(slots=2)
    await job_queue.cancel(second.job_id)
    assert await job_leases.beat(worker.info, [first, second], running=2, lease=60) == (set(), {second.lease})


async def test_a_beat_shows_the_worker(worker, job_queue, job_leases, server, find_leaks):
    await job_leases.beat(worker.info, [], running=3, models='[{"type":"a"}]', memory=7, lease=60)
    (shown,) = await job_queue.workers()
    assert time.time() - 5 < shown.seen_at < time.time() + 5
    assert 50 < shown.lease <= 60
    assert shown[:10] == (
        worker.name, "host", 1, VERSION, ("default",), 10, 3, [{"type": "a"}], 7, 1.5
    )  # fmt: skip
    assert 86_390 < await server.ttl(redis_keys.WORKER + worker.name) <= 86_400
    assert 50 < await server.ttl(redis_keys.WORKERS) <= 60
    assert await find_leaks(server) == []


async def test_a_beat_forgets_workers_that_are_silent(worker, other, job_leases, server):
    await job_leases.beat(worker.info, [], running=0, lease=60)
    await server.zadd(redis_keys.WORKERS, {worker.name: 1})
    await server.delete(redis_keys.WORKER + worker.name)
    await job_leases.beat(other.info, [], running=0, lease=60)
    assert await server.zrange(redis_keys.WORKERS, 0, -1) == [other.name.encode()]


async def test_a_short_beat_does_not_hide_a_worker_with_a_longer_one(worker, other, job_leases, server):
    await job_leases.beat(worker.info, [], running=0, lease=600)
    await job_leases.beat(other.info, [], running=0, lease=6)
    assert await server.ttl(redis_keys.WORKERS) > 500


async def test_a_worker_that_has_claimed_but_not_beaten_is_not_shown(submit, worker, job_queue, server):
    await submit("a")
    await worker.claim_one()
    assert await job_queue.workers() == []
    assert await server.ttl(redis_keys.WORKER + worker.name) > 0


async def test_a_worker_that_leaves_is_gone_and_wakes_another_one(
    submit, worker, job_queue, job_leases, server
):
    await job_leases.beat(worker.info, [], running=0, lease=60)
    await submit("a")
    await server.delete(redis_keys.WAKE + "default")
    await job_leases.leave(worker.name, worker.info.queues)
    assert await job_queue.workers() == []
    assert not await server.exists(redis_keys.WORKER + worker.name, redis_keys.WORKERS)
    assert await server.llen(redis_keys.WAKE + "default") == 1


async def test_a_worker_that_leaves_nothing_to_do_wakes_nobody(worker, job_leases, server):
    await job_leases.leave(worker.name, worker.info.queues)
    assert [key async for key in server.scan_iter()] == []


async def test_progress_is_written_under_the_lease(submit, worker, job_queue, job_leases):
    await submit("a")
    claim = await worker.claim_one()
    assert await job_leases.report([AttemptReport(claim, HALF)]) == set()
    record = await job_queue.get("a")
    assert orjson.loads(record.fields[b"progress"]) == {"fraction": 0.5, "message": "half"}
    assert record.version == 3


async def test_progress_after_the_lease_is_discarded(submit, worker, other, job_queue, job_leases):
    await submit("a")
    late = await worker.claim_one()
    await worker.lose(late)
    await other.step(slots=1)
    before = await job_queue.get("a")
    assert await job_leases.report([AttemptReport(late, HALF)]) == set()
    assert await job_queue.get("a") == before


async def test_a_report_tells_which_jobs_to_stop(submit, worker, job_queue, job_leases):
    await submit("a")
    await submit("b")
    claims = await worker.claim(slots=2)
    await job_queue.cancel("b")
    assert await job_leases.report([AttemptReport(claim, HALF) for claim in claims]) == {"b"}


@pytest.mark.parametrize("kind", [OutcomeKind.RETRY, OutcomeKind.RELEASED])
async def test_progress_ends_with_its_attempt(kind, submit, worker, job_queue, job_leases):
    await submit("a")
    claim = await worker.claim_one()
    await job_leases.report([AttemptReport(claim, HALF)])
    error = b'{"code":"e","message":"m","hint":"h","retryable":true,"attempt":1}'
    await worker.step(Finished(claim, Outcome(kind, error), HALF))
    record = await job_queue.get("a")
    assert record.parse().progress is None
    assert b"worker" not in record.fields
