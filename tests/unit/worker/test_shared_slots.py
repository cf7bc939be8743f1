"""Lanes of two shards over the same slots: their bound, a fair share, a shard that is away."""

from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from tests.unit.worker.conftest import LEASE, Bench
from tests.unit.worker.pools import until
from worker.shard_work import share_slots

SLOTS = 2


@pytest.fixture
async def benches() -> AsyncIterator[list[Bench]]:
    """A lane on each of two shards."""
    servers = [FakeAsyncRedis(server=FakeServer()) for _ in range(2)]
    benches = [Bench(server, slots=SLOTS) for server in servers]
    share_slots([bench.lane for bench in benches])
    yield benches
    for bench, server in zip(benches, servers, strict=True):
        await bench.close()
        await server.aclose()


def run(benches: list[Bench]) -> None:
    for bench in benches:
        bench.run(*bench.pumps, bench.lane.waker)


async def test_all_shards_together_have_no_more_attempts_than_slots(benches):
    one, other = benches
    await one.submit("a", "b", "c")
    await other.submit("d", "e", "f")
    run(benches)
    for ended in range(6):
        await until(lambda: len(one.started + other.started) == min(SLOTS + ended, 6))  # noqa: B023
        running = [*one.jobs.running.values(), *other.jobs.running.values()]
        assert len(running) == min(SLOTS, 6 - ended)
        job_id = running[0].claim.job_id
        (one if job_id in one.started else other).let_end(job_id)
        await until(lambda: job_id not in str([*one.jobs.running, *other.jobs.running]))  # noqa: B023
    assert sorted(one.started + other.started) == list("abcdef")


async def test_a_long_backlog_of_one_shard_leaves_slots_to_the_other(benches):
    one, other = benches
    backlog = [f"a{number}" for number in range(20)]
    await one.submit(*backlog)
    run(benches)
    await until(lambda: len(one.jobs.running) == SLOTS)
    await other.submit("b")
    ended = 0
    while "b" not in other.started:
        one.let_end(one.started[ended])
        ended += 1
        await until(lambda: len(one.started) + len(other.started) == SLOTS + ended)  # noqa: B023
    assert ended <= 3


async def test_one_shard_alone_gets_all_slots_at_once(benches):
    one, _ = benches
    await one.submit("a", "b")
    run(benches)
    await until(lambda: one.started == ["a", "b"], seconds=LEASE / 3)  # sooner than the next look


async def test_a_job_of_an_idle_shard_takes_the_slot_that_another_left(benches):
    one, other = benches
    await one.submit("a", "b")
    run(benches)
    await until(lambda: len(one.jobs.running) == SLOTS)
    await other.submit("c")
    one.let_end("a")
    await until(lambda: other.started == ["c"])


async def test_a_shard_that_is_away_holds_no_slot(benches):
    one, other = benches
    one.leases.away = one.idle_leases.away = True
    run(benches)
    await until(lambda: one.leases.refused > 1)
    await other.submit("a", "b", "c")
    await until(lambda: len(other.jobs.running) == SLOTS)
    other.let_end("a")
    await until(lambda: len(other.started) == 3)
