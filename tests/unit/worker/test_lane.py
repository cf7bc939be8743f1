"""A lane: the steps of its pump, the wake-ups of its waker, the batch of one step."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.store import redis_keys
from shared.store.job_leases import Claim, Finished, Outcome, OutcomeKind, Step
from tests.conftest import LogTape
from tests.unit.worker.conftest import LEASE, Bench, WatchedLeases
from tests.unit.worker.pools import until
from worker.lane import LARGEST_BATCH, LARGEST_STEP_BYTES, MANY_FINISHED, _batch

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


async def test_a_wake_up_that_overtakes_the_reply_of_an_older_step_is_not_lost(bench: Bench):
    """The step was made before the job came, so its reply says that none is due."""
    await bench.submit("a")
    bench.run(*bench.pumps, bench.lane.waker)
    await until(lambda: bench.started == ["a"] and bench.lane._idle.is_set())
    bench.leases.may_reply.clear()
    bench.let_end("a")
    await until(lambda: bench.leases.replies_held)
    await bench.submit("b")
    await until(lambda: bench.lane._look_at == 0.0)
    bench.leases.may_reply.set()
    await until(lambda: bench.started == ["a", "b"], seconds=LEASE / 6)


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


# -- two steps in flight


class SlowLeases(WatchedLeases):
    """Each step waits until the test lets it go.

    Attributes:
        waiting: the gate of each step under way, by its pump.
    """

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.waiting: dict[int, asyncio.Event] = {}

    async def step(self, worker_id: str, number: int, *arguments: Any, **options: Any) -> Step:
        pump = options["pump"]
        gate = self.waiting.setdefault(pump, asyncio.Event())
        try:
            await gate.wait()
            return await super().step(worker_id, number, *arguments, **options)
        finally:
            self.waiting.pop(pump, None)

    def let_go(self, pump: int) -> None:
        self.waiting[pump].set()


@pytest.fixture
async def slow(fake_redis: Redis) -> AsyncIterator[tuple[Bench, SlowLeases]]:
    """A lane of many slots with as many running jobs, whose first step is under way."""
    bench = Bench(fake_redis, slots=2 * MANY_FINISHED + 1)
    await bench.submit(*(f"job-{n:02}" for n in range(bench.jobs.size)))
    bench.run(*bench.pumps)
    await until(lambda: len(bench.started) == bench.jobs.size and not bench.lane.stepping)
    bench.lane.job_leases = leases = SlowLeases(fake_redis)
    bench.let_end("job-00")
    await until(lambda: leases.waiting)
    yield bench, leases
    for gate in leases.waiting.values():
        gate.set()
    await bench.close()


def let_end(bench: Bench, count: int) -> None:
    for job in list(bench.jobs.running.values())[:count]:
        bench.let_end(job.claim.job_id)


async def test_a_second_step_goes_out_only_for_many_outcomes(slow: tuple[Bench, SlowLeases]):
    bench, leases = slow
    let_end(bench, MANY_FINISHED - 1)
    await until(lambda: len(bench.jobs.finished) == MANY_FINISHED - 1)
    assert len(leases.waiting) == 1
    let_end(bench, 1)
    await until(lambda: len(leases.waiting) == 2)
    assert [pump.open_step > 0 for pump in bench.lane.pumps] == [True, True]
    assert (list(map(len, bench.jobs.sent)), bench.jobs.finished) == ([1, MANY_FINISHED], [])


async def test_there_is_no_third_step(slow: tuple[Bench, SlowLeases]):
    bench, leases = slow
    let_end(bench, MANY_FINISHED)
    await until(lambda: len(leases.waiting) == 2)
    let_end(bench, MANY_FINISHED)
    await until(lambda: len(bench.jobs.finished) == MANY_FINISHED)
    assert (len(leases.waiting), len(bench.lane.pumps)) == (2, 2)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_replies_of_two_steps_may_come_in_any_order(
    slow: tuple[Bench, SlowLeases], order: tuple[int, int]
):
    bench, leases = slow
    let_end(bench, MANY_FINISHED)
    await until(lambda: len(leases.waiting) == 2)
    leases.let_go(order[0])
    await until(lambda: order[0] not in leases.waiting)
    leases.let_go(order[1])
    await until(lambda: not bench.jobs.unwritten)
    states = [await bench.state(job_id) for job_id in bench.started]
    assert states.count("completed") == MANY_FINISHED + 1
    assert bench.jobs.lease_lines.keys() == bench.jobs.running.keys()


async def test_two_steps_whose_replies_were_lost_are_both_repeated(slow: tuple[Bench, SlowLeases]):
    """Each with its own number, so that no job is claimed or finished twice."""
    bench, leases = slow
    await bench.submit(*(f"new-{n}" for n in range(5)))
    let_end(bench, MANY_FINISHED)
    await until(lambda: len(leases.waiting) == 2)
    leases.replies_lost = 2

    def all_written() -> bool:
        for pump in list(leases.waiting):
            leases.let_go(pump)
        return not bench.jobs.unwritten

    await until(all_written)
    await until(lambda: len(bench.started) == bench.jobs.size + 5)
    assert sorted(bench.started) == sorted(set(bench.started))
    assert {(await bench.record(f"new-{n}")).fields[b"claims"] for n in range(5)} == {b"1"}


async def test_two_steps_ask_for_no_slot_twice(slow: tuple[Bench, SlowLeases]):
    bench, leases = slow
    let_end(bench, MANY_FINISHED)
    await until(lambda: len(leases.waiting) == 2)
    assert sum(pump.wanted for pump in bench.lane.pumps) <= bench.jobs.free
