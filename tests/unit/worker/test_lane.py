"""A lane: the steps of its pump, the wake-ups of its waker, the batch of one step."""

import asyncio

import pytest
from redis.asyncio import Redis

from shared.store import redis_keys
from shared.store.job_leases import Claim, Finished, Outcome, OutcomeKind
from tests.conftest import LogTape
from tests.unit.worker.conftest import LEASE, Bench
from tests.unit.worker.pools import until
from worker.lane import LARGEST_BATCH, LARGEST_STEP_BYTES, _batch

CLAIM = Claim("default", "a", 1, 1, 3, b"", b"", "r", "1:a")
HALF = LARGEST_STEP_BYTES // 2


def ended(size: int, lines: int = 0) -> Finished:
    return Finished(CLAIM, Outcome(OutcomeKind.COMPLETED, b"x" * size), lines=b"x" * lines)


@pytest.mark.parametrize(
    ("finished", "count"),
    [
        ([], 0),
        ([ended(10)] * 3, 3),
        ([ended(10)] * (LARGEST_BATCH + 1), LARGEST_BATCH),
        ([ended(HALF)] * 3, 2),
        ([ended(0, lines=HALF)] * 3, 2),
        ([ended(4 * LARGEST_STEP_BYTES)] * 3, 1),
        ([ended(10), ended(4 * LARGEST_STEP_BYTES)], 1),
        ([ended(4 * LARGEST_STEP_BYTES), ended(10)], 1),
    ],
)
def test_a_step_carries_about_a_mebibyte_of_outcomes_and_at_least_one(
    finished: list[Finished], count: int
) -> None:
    assert _batch(finished) == finished[:count]


# -- the pump


async def test_a_lane_claims_jobs_for_its_free_slots_alone(bench: Bench):
    await bench.submit("a", "b", "c")
    bench.run(*bench.pumps)
    await until(lambda: bench.started == ["a", "b"])
    assert [await bench.state(job_id) for job_id in "abc"] == ["running", "running", "pending"]
    bench.let_end("a")
    await until(lambda: bench.started == ["a", "b", "c"])
    assert [await bench.state(job_id) for job_id in "abc"] == ["completed", "running", "running"]


async def test_half_of_the_slots_are_claimed_at_once(fake_redis: Redis):
    """Redis prepares the next half while these run."""
    bench = Bench(fake_redis, slots=5)
    await bench.submit(*"abcde")
    bench.run(*bench.pumps)
    await until(lambda: len(bench.started) == 5)
    assert bench.leases.steps[:2] == [(1, 3), (2, 2)]
    await bench.close()


async def test_a_step_whose_reply_was_lost_is_repeated_with_its_number(bench: Bench):
    await bench.submit("a")
    bench.leases.replies_lost = 2
    bench.run(*bench.pumps)
    await until(lambda: bench.started)
    assert [number for number, _ in bench.leases.steps[:3]] == [1, 1, 1]
    assert (bench.started, (await bench.record("a")).fields[b"attempt"]) == (["a"], b"1")
    assert [answer is None for answer in bench.answers[:3]] == [False, False, True]


async def test_an_outcome_is_kept_until_redis_has_it(bench: Bench):
    await bench.submit("a")
    bench.run(*bench.pumps)
    await until(lambda: bench.started)
    bench.leases.away = True
    bench.let_end("a")
    await until(lambda: bench.answers[-1] is not None)
    assert (bench.jobs.unwritten, list(bench.jobs.lease_lines)) == (1, ["1:a"])
    bench.leases.away = False
    await until(lambda: not bench.jobs.unwritten)
    assert (await bench.state("a"), bench.jobs.lease_lines) == ("completed", {})


async def test_a_pump_that_was_cancelled_within_a_step_repeats_that_step(bench: Bench):
    """A repeat gets the same claims, so that none is lost with the reply that was not read."""
    await bench.submit("a")
    bench.leases.replies_lost = 1
    (pump, _) = bench.run(*bench.pumps)
    await until(lambda: bench.answers)
    assert bench.lane.pumps[0].open_step == 1
    pump.cancel()
    await asyncio.wait([pump])
    bench.run(*bench.pumps)
    await until(lambda: bench.started)
    assert {number for number, _ in bench.leases.steps[:2]} == {1}


async def test_an_outcome_whose_lease_was_lost_is_refused_and_logged(bench: Bench, log_tape: LogTape):
    await bench.submit("a")
    bench.run(*bench.pumps)
    await until(lambda: bench.started)
    await bench.redis.hset(redis_keys.RECORD + "a", "claims", "2")  # another worker has claimed the job since
    bench.let_end("a")
    await until(lambda: log_tape.lines("outcome refused: the lease was lost"))
    assert not bench.jobs.unwritten


async def test_a_lane_that_has_stopped_claiming_writes_outcomes_and_starts_nothing(bench: Bench):
    await bench.submit("a")
    bench.run(*bench.pumps)
    await until(lambda: bench.started)
    bench.lane.stop_claiming()
    await bench.submit("b")
    bench.let_end("a")
    await until(lambda: not bench.jobs.unwritten and not bench.jobs.running and not bench.lane.stepping)
    assert (await bench.state("a"), await bench.state("b"), bench.started) == ("completed", "pending", ["a"])


# -- the waker


async def test_a_new_job_wakes_a_lane_that_rests(bench: Bench):
    """Within much less than a third of the lease, after which the pump would look by itself."""
    bench.run(*bench.pumps, bench.lane.waker)
    await until(lambda: bench.answers and not bench.lane.stepping)
    await bench.submit("a")
    await until(lambda: bench.started == ["a"], seconds=LEASE / 6)


async def test_a_full_lane_returns_the_wake_up_to_others(bench: Bench):
    await bench.submit("a", "b")
    bench.run(*bench.pumps)
    await until(lambda: len(bench.started) == 2)
    await bench.redis.delete(redis_keys.WAKE + "default")
    bench.lane._idle.set()  # as if both slots were taken just after the pump began to rest
    bench.run(bench.lane.waker)
    await bench.submit("c")
    await until(lambda: not bench.lane._idle.is_set())
    assert await bench.redis.llen(redis_keys.WAKE + "default") == 1


async def test_a_waker_without_redis_starts_the_pump_which_logs_it(bench: Bench):
    bench.run(*bench.pumps)
    await until(lambda: bench.answers and not bench.lane.stepping)
    bench.leases.away = bench.idle_leases.away = True
    bench.run(bench.lane.waker)
    await until(lambda: bench.answers[-1] is not None, seconds=LEASE / 6)
