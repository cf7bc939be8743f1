"""Held claims: those that a lane has besides its running jobs, until a slot is free."""

import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from shared.store import redis_keys
from tests.unit.worker.conftest import Bench
from tests.unit.worker.pools import until
from worker.claims_ahead import ClaimsAhead
from worker.held_claims import HOLD_SECONDS
from worker.lane_pair import LanePair
from worker.running_job import RunningJob
from worker.running_jobs import REPORTED_SECONDS
from worker.services.reporter import Reporter

HELD_MS = 30


class FixedBound(ClaimsAhead):
    """A bound that a test sets.

    Attributes:
        returns: the number of times that claims have found no slot.
    """

    def __init__(self, most: int) -> None:
        super().__init__(0)
        self.bound = most
        self.returns = 0

    @property
    def most(self) -> int:
        return self.bound

    def note_return(self) -> None:
        self.returns += 1
        self.bound = 0


@pytest.fixture
async def bench(fake_redis: Redis) -> AsyncIterator[Bench]:
    """A lane with one slot that holds up to four claims."""
    bench = Bench(fake_redis, slots=1)
    bench.jobs.held.ahead = FixedBound(4)
    yield bench
    await bench.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims are held for as long as a test lasts."""
    monkeypatch.setattr("worker.held_claims.HOLD_SECONDS", 3600.0)
    monkeypatch.setattr("worker.held_claims.STALE_SECONDS", 3600.0)


async def holding(bench: Bench, *job_ids: str) -> None:
    """Run the lane until the first of these jobs runs and the others are held."""
    await bench.submit(*job_ids)
    bench.run(*bench.pumps)
    held = bench.jobs.held
    await until(lambda: bench.started and len(held) == len(job_ids) - 1 and not bench.lane.stepping)
    assert bench.started == [job_ids[0]]


async def started_late(bench: Bench) -> tuple[RunningJob, int]:
    """A job whose claim was held for HELD_MS before its handler began, and the time of the claim."""
    await holding(bench, "a", "b")
    claimed_at = int((await fields(bench, "b"))[b"started_at"])
    [held] = bench.jobs.held._claims
    bench.jobs.held._claims[0] = held._replace(arrived_at=held.arrived_at - HELD_MS / 1000)
    bench.let_end("a")
    await until(lambda: bench.started == ["a", "b"])
    (job,) = bench.jobs.running.values()
    return job, claimed_at


async def fields(bench: Bench, job_id: str) -> dict[bytes, bytes]:
    return dict((await bench.record(job_id)).fields)


async def waiting(bench: Bench) -> list[bytes]:
    return list(await bench.redis.zrange(redis_keys.QUEUE + "default", 0, -1))


@pytest.mark.usefixtures("patient")
async def test_held_claims_start_in_order_as_the_slot_becomes_free(bench: Bench):
    await holding(bench, "a", "b", "c")
    for number, job_id in enumerate("abc", 1):
        assert (bench.started, len(bench.jobs.running)) == (list("abc")[:number], 1)
        bench.let_end(job_id)
        await until(lambda number=number: len(bench.started) > number or not bench.jobs.running)
    await until(lambda: not bench.jobs.unwritten)
    for job_id in "abc":
        assert (await bench.state(job_id), (await fields(bench, job_id))[b"attempt"]) == ("completed", b"1")


@pytest.mark.usefixtures("patient")
async def test_the_start_and_the_timeout_count_from_the_handlers_start(bench: Bench):
    job, claimed_at = await started_late(bench)
    assert job.deadline == job.started_at + 3600
    bench.let_end("b")
    await until(lambda: not bench.jobs.running and not bench.jobs.unwritten)
    assert int((await fields(bench, "b"))[b"started_at"]) >= claimed_at + HELD_MS


@pytest.mark.usefixtures("patient")
async def test_the_start_of_a_job_that_runs_on_is_reported(bench: Bench):
    job, claimed_at = await started_late(bench)
    bench.run(Reporter(LanePair(bench.lane, bench.lane), bench.leases, bench.report_due).run)
    bench.jobs.tick()
    assert not job.start_reported  # the job may end soon
    job.started_at -= REPORTED_SECONDS
    bench.jobs.tick()
    await until(lambda: not job.context.unsent)
    assert int((await fields(bench, "b"))[b"started_at"]) >= claimed_at + HELD_MS


async def test_a_claim_that_finds_no_slot_goes_back_to_its_place_uncharged(bench: Bench):
    begun = time.monotonic()
    await holding(bench, "a", "b", "c")
    await bench.submit("d")
    await until(lambda: not bench.jobs.held)
    await until(lambda: not bench.jobs.unwritten)
    assert time.monotonic() >= begun + HOLD_SECONDS
    assert await waiting(bench) == [b"b", b"c", b"d"]
    record = await fields(bench, "b")
    assert (record[b"state"], record[b"attempt"], record.get(b"started_at")) == (b"pending", b"0", None)
    assert (bench.started, bench.jobs.held.ahead.returns, bench.jobs.lease_lines.keys()) == (
        ["a"],
        1,
        {"1:a"},
    )  # type: ignore[attr-defined]


@pytest.mark.usefixtures("patient")
async def test_a_cancelled_job_that_is_held_does_not_start(bench: Bench):
    await holding(bench, "a", "b", "c")
    await bench.job_queue.cancel("b")
    bench.lane.jobs.cancel({"b"})
    await until(lambda: not bench.jobs.unwritten)
    assert await bench.state("b") == "cancelled"
    bench.let_end("a")
    await until(lambda: bench.started == ["a", "c"])


@pytest.mark.usefixtures("patient")
async def test_held_claims_whose_leases_are_lost_do_not_start(bench: Bench):
    """The heartbeat brings lost leases, and jobs whose cancellation was not heard."""
    await holding(bench, "a", "b", "c", "d")
    await bench.job_queue.cancel("c")
    bench.jobs.stop_soon({"1:b"}, {"1:c"})
    await until(lambda: [held.claim.job_id for held in bench.jobs.held._claims] == ["d"])
    await until(lambda: not bench.jobs.unwritten)
    assert (await bench.state("b"), await bench.state("c")) == ("running", "cancelled")
    assert bench.jobs.lease_lines.keys() == {"1:a", "1:d"}
    bench.let_end("a")
    await until(lambda: bench.started == ["a", "d"])


@pytest.mark.usefixtures("patient")
async def test_a_shutdown_lets_held_claims_go_at_once(bench: Bench):
    await holding(bench, "a", "b", "c")
    bench.lane.stop_claiming()
    await until(lambda: not bench.jobs.unwritten)
    assert (await waiting(bench), len(bench.jobs.held)) == ([b"b", b"c"], 0)
    bench.let_end("a")
    await until(lambda: not bench.jobs.running and not bench.jobs.unwritten)
    assert bench.started == ["a"]


async def test_claims_that_arrive_during_a_shutdown_start_or_go_back(bench: Bench):
    await bench.submit("a", "b", "c")
    bench.leases.replies_lost = 1
    bench.run(*bench.pumps)
    await until(lambda: bench.leases.steps)
    bench.lane.stop_claiming()
    await until(lambda: bench.started == ["a"])
    await until(lambda: not bench.jobs.unwritten)
    assert await waiting(bench) == [b"b", b"c"]


async def test_held_claims_wait_out_an_outage_without_starting_late(bench: Bench):
    await holding(bench, "a", "b")
    bench.leases.away = True
    await until(lambda: not bench.jobs.held)  # without a slot for too long
    bench.let_end("a")
    await until(lambda: not bench.jobs.running)
    assert (bench.started, bench.jobs.unwritten) == (["a"], 2)
    assert bench.jobs.lease_lines.keys() == {"1:a", "1:b"}  # the heartbeat renews them meanwhile
    bench.leases.away = False
    await until(lambda: bench.started == ["a", "b"])
    assert ((await fields(bench, "b"))[b"attempt"], (await fields(bench, "b"))[b"claims"]) == (b"1", b"2")


@pytest.mark.usefixtures("patient")
async def test_a_lost_reply_brings_the_same_claims_once_more(bench: Bench):
    bench.leases.replies_lost = 2
    await holding(bench, "a", "b", "c")
    assert [number for number, _ in bench.leases.steps[:3]] == [1, 1, 1]
    assert [held.claim.fencing_token for held in bench.jobs.held._claims] == [1, 1]


async def test_a_lane_asks_for_half_of_its_room_at_once(bench: Bench):
    await bench.submit(*"abcdefg")
    bench.run(*bench.pumps)
    await until(lambda: len(bench.jobs.held) == 4)
    assert [slots for _, slots in bench.leases.steps[:2]] == [3, 2]  # of one slot and four claims to hold


async def test_room_that_others_make_starts_a_held_claim(fake_redis: Redis):
    """Of a lane where some running attempts need no slot."""
    bench = Bench(fake_redis, slots=1)
    aside = [0]
    bench.jobs._aside = lambda: aside[0]
    bench.jobs.held.ahead = FixedBound(4)
    await holding(bench, "a", "b")
    aside[0] = 1
    bench.jobs.note_room()
    await until(lambda: bench.started == ["a", "b"])
    await bench.close()
