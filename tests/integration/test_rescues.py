"""Jobs whose leases ran out are rescued, unless Redis was away; jobs that were lost are repaired."""

import json
import time

import pytest

from shared.record import JobState
from shared.store import redis_keys
from shared.store.cancel_results import CancelResult
from shared.store.job_leases import Finished, Outcome, OutcomeKind
from shared.store.rows import Lease

LEASE = 60  # seconds, as the workers here have it


@pytest.fixture
def pass_time(server):
    """Let time pass in which nobody reaches Redis: all times in the store move back."""

    async def pass_time(seconds: float) -> None:
        by = int(seconds * 1000)
        for name in ("seen_at", "rescue_from"):
            if await server.hexists(redis_keys.UPKEEP, name):
                await server.hincrby(redis_keys.UPKEEP, name, -by)
        for queue in (redis_keys.LEASES + "default", redis_keys.WORKERS):
            for member, score in await server.zrange(queue, 0, -1, withscores=True):
                await server.zadd(queue, {member: score - by})

    return pass_time


def milliseconds() -> float:
    return time.time() * 1000


@pytest.mark.parametrize("leases", [0.6, 1.0, 3.0, 50.0])
@pytest.mark.parametrize("first", ["a step", "the upkeep", "a reader", "a beat"])
async def test_an_outage_costs_no_attempt_of_a_worker_that_lives(
    submit, worker, other, job_queue, job_leases, upkeep, pass_time, leases, first
):
    await submit("a")
    claim = await worker.claim_one()
    await job_leases.beat(worker.info, [claim], running=1, lease=LEASE)
    await pass_time(leases * LEASE)
    if first == "a step":
        step = await other.step(slots=1)
        assert step.rescued == []
        assert step.wait > (LEASE - 5 if leases >= 1 else 0)
    elif first == "the upkeep":
        assert (await upkeep.run(["default"])).rescued == []
    elif first == "a reader":
        assert (await job_queue.get("a")).state is JobState.RUNNING
    else:
        await job_leases.beat(other.info, [], running=0, lease=LEASE)
    await pass_time(LEASE / 3)  # until its next beat
    assert (await job_queue.get("a")).state is JobState.RUNNING
    assert await job_leases.beat(worker.info, [claim], running=1, lease=LEASE) == (set(), set())
    await pass_time(LEASE / 3)
    assert (await other.step()).rescued == []
    assert await worker.finish(claim, OutcomeKind.COMPLETED, b"1")
    record = await job_queue.get("a")
    assert (record.fields[b"attempt"], b"errors" in record.fields) == (b"1", False)


async def test_a_worker_that_died_in_an_outage_is_noticed_one_lease_after_it(
    submit, worker, other, job_queue, job_leases, pass_time
):
    await submit("a")
    claim = await worker.claim_one()
    await job_leases.beat(worker.info, [claim], running=1, lease=LEASE)
    await pass_time(3 * LEASE)
    for _ in range(4):
        assert (await other.step()).rescued == []
        await job_leases.beat(other.info, [], running=0, lease=LEASE)
        await pass_time(LEASE / 4)
    assert (await other.step()).rescued == ["a"]
    assert [error["code"] for error in json.loads((await job_queue.get("a")).fields[b"errors"])] == [
        "worker_lost"
    ]


async def test_a_dead_worker_is_noticed_at_once_while_others_leave_signs(
    submit, worker, other, job_leases, pass_time
):
    await submit("a")
    await worker.claim_one()
    for _ in range(3):
        await job_leases.beat(other.info, [], running=0, lease=LEASE)
        await pass_time(LEASE / 3 + 0.1)
    assert (await other.step()).rescued == ["a"]


async def test_without_any_worker_the_upkeep_of_an_api_leaves_signs_and_rescues(
    submit, worker, job_leases, upkeep, pass_time
):
    await submit("a")
    await job_leases.beat(worker.info, [await worker.claim_one()], running=1, lease=LEASE)
    for _ in range(3):
        done = await upkeep.run(["default"])
        assert (done.lease, done.rescued) == (LEASE, [])
        await pass_time(LEASE / 3 + 0.1)
    assert (await upkeep.run(["default"])).rescued == ["a"]


async def test_a_clock_that_is_set_back_puts_no_rescue_off(submit, worker, other, upkeep, server, pass_time):
    await submit("a")
    await worker.lose(await worker.claim_one())
    await upkeep.run(["default"], lease=LEASE)
    await server.hset(redis_keys.UPKEEP, "rescue_from", milliseconds() + 3600_000)
    await upkeep.run([], lease=LEASE)
    assert float(await server.hget(redis_keys.UPKEEP, "rescue_from")) <= milliseconds() + LEASE * 1000


async def test_reading_a_job_whose_worker_died_tells_so(submit, worker, job_queue, indexes_agree):
    await submit("a", max_attempts=1)
    await submit("b")
    for claim in await worker.claim(slots=2):
        await worker.lose(claim)
    assert [(await job_queue.get(name)).state for name in "ab"] == [JobState.FAILED, JobState.PENDING]
    record = (await job_queue.get("b")).parse()
    assert (record.attempt, record.version, record.errors[0].code) == (1, 3, "worker_lost")
    await indexes_agree()


async def test_cancelling_a_job_whose_worker_died_ends_it(submit, worker, job_queue, indexes_agree):
    await submit("a")
    await worker.lose(await worker.claim_one())
    verdict, record = await job_queue.cancel("a")
    assert (verdict, record.state) == (CancelResult.CANCELLED, JobState.CANCELLED)
    await indexes_agree()


async def test_a_running_job_whose_worker_lives_is_only_asked_to_stop(submit, worker, job_queue):
    await submit("a")
    await worker.claim_one()
    verdict, record = await job_queue.cancel("a")
    assert (verdict, record.state, record.version) == (CancelResult.CANCELLING, JobState.RUNNING, 3)


async def vanish(server, *names: str) -> None:
    await server.zrem(redis_keys.QUEUE + "default", *names)
    await server.zrem(redis_keys.LEASES + "default", *(f"1:{name}" for name in names))


async def test_jobs_that_nothing_leads_to_are_put_back(
    submit, worker, job_queue, upkeep, server, indexes_agree
):
    await submit("runs")
    await worker.claim_one()
    for name in ("waits", "is fine"):
        await submit(name)
    await vanish(server, "runs", "waits")
    await server.delete(redis_keys.MESSAGE + "waits")
    await server.delete(redis_keys.WAKE + "default")
    done = await upkeep.run(["default"])
    assert done.repaired == {"waits": "pending in no queue", "runs": "running without a lease"}
    assert (await job_queue.get("runs")).parse().attempt == 0
    assert json.loads(await server.get(redis_keys.MESSAGE + "waits"))["a"] == ["waits"]
    assert await server.llen(redis_keys.WAKE + "default") == 1
    await indexes_agree()
    await server.hdel(redis_keys.UPKEEP, "repaired_at")
    assert (await upkeep.run(["default"])).repaired == {}
    assert len(await worker.claim(slots=3)) == 3


async def test_a_reader_of_a_lost_job_puts_it_back_at_once(submit, worker, job_queue, server, indexes_agree):
    await submit("runs")
    await worker.claim_one()
    await submit("waits")
    await vanish(server, "runs", "waits")
    for name in ("runs", "waits"):
        record = await job_queue.get(name)
        assert (record.state, record.position > 0) == (JobState.PENDING, True)
    await indexes_agree()
    assert {claim.job_id for claim in await worker.claim(slots=2)} == {"runs", "waits"}


async def test_the_outcome_of_a_lease_that_vanished_counts_if_nobody_else_claimed(
    submit, worker, job_queue, server
):
    await submit("a")
    claim = await worker.claim_one()
    await vanish(server, "a")
    assert await worker.finish(claim, OutcomeKind.COMPLETED, b"1")
    assert (await job_queue.get("a")).state is JobState.COMPLETED


async def test_the_repair_comes_to_every_job_in_bounded_looks(submit, upkeep, server):
    names = [f"job-{number:04}" for number in range(1100)]
    for name in names:
        await submit(name, max_waiting=3000)
    await vanish(server, names[3], names[700], names[1099])
    found = []
    for _ in range(3):
        found.append(list((await upkeep.run(["default"])).repaired))
        assert (await upkeep.run(["default"])).repaired == {}  # one look in half a second
        await server.hdel(redis_keys.UPKEEP, "repaired_at")
    assert found == [[names[3]], [names[700]], [names[1099]]]


async def test_a_job_that_ended_half_way_is_seen_through(submit, worker, upkeep, server, indexes_agree):
    await submit("a")
    await server.hset(redis_keys.RECORD + "a", "caller", "ann")
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1")
    assert await server.getdel(redis_keys.OWNER + "a") == b"ann"
    expires_at = await server.zscore(redis_keys.INDEX_OF + "completed", "a")
    await server.persist(redis_keys.RECORD + "a")
    await server.set(redis_keys.MESSAGE + "a", "m")
    await server.zrem(redis_keys.INDEX_OF + "completed", "a")
    assert (await upkeep.run(["default"])).repaired == {}
    assert await server.zscore(redis_keys.INDEX_OF + "completed", "a") == expires_at
    assert await server.ttl(redis_keys.RECORD + "a") > 0
    assert await server.get(redis_keys.OWNER + "a") == b"ann"
    assert 190 <= await server.ttl(redis_keys.OWNER + "a") <= 200  # as long as the record, and once more
    assert not await server.exists(redis_keys.MESSAGE + "a")
    await indexes_agree()


async def test_a_repeated_step_remembers_its_claims_after_an_outage_of_hours(submit, worker, server):
    await submit("a")
    first = await worker.step(slots=1)
    assert await server.ttl(redis_keys.WORKER + worker.name) > 23 * 3600
    await worker.job_leases.beat(worker.info, [], running=0, lease=LEASE)
    assert await server.ttl(redis_keys.WORKER + worker.name) > 23 * 3600
    assert (await worker.step(slots=1, number=1)).claims == first.claims


async def test_an_outcome_written_during_the_pause_of_rescues_counts(
    submit, worker, other, job_leases, pass_time
):
    await submit("a")
    claim = await worker.claim_one()
    await job_leases.beat(worker.info, [claim], running=1, lease=LEASE)
    await pass_time(2 * LEASE)
    await other.step()
    step = await worker.step(Finished(claim, Outcome(OutcomeKind.COMPLETED, b"1")))
    assert step.accepted == [True]


async def test_a_lease_that_a_living_worker_does_not_know_costs_no_attempt(
    submit, worker, other, job_queue, job_leases, pass_time
):
    """A fail-over has lost the end of the attempt: the worker renews the lease no more."""
    await submit("a")
    claim = await worker.claim_one()
    await pass_time(LEASE * 0.4)
    await job_leases.beat(worker.info, [], running=0, lease=LEASE)
    await pass_time(LEASE * 0.4)
    await job_leases.beat(worker.info, [], running=0, lease=LEASE)
    await pass_time(LEASE * 0.4)
    await job_leases.beat(worker.info, [], running=0, lease=LEASE)
    assert (await other.step()).rescued == ["a"]
    record = (await job_queue.get("a")).parse()
    assert (record.state, record.attempt, record.errors) == (JobState.PENDING, 0, [])
    assert not await worker.finish(claim, OutcomeKind.COMPLETED, b"1")  # too late


async def test_a_lease_that_a_living_worker_keeps_beyond_its_time_costs_an_attempt(
    submit, worker, other, job_queue, job_leases, pass_time
):
    await submit("a")
    claim = await worker.claim_one()
    lease = Lease(claim.queue, claim.lease)
    for _ in range(3):
        await pass_time(LEASE * 0.4)
        await job_leases.beat(worker.info, [], running=1, lease=LEASE, overdue=[lease])
    assert (await other.step()).rescued == ["a"]
    record = (await job_queue.get("a")).parse()
    assert (record.attempt, record.errors[0].code) == (1, "worker_lost")
