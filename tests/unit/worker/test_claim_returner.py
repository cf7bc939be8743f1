"""ClaimReturner: claims whose handlers a blocked or dead worker has not begun go back, and run once."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from shared.store import redis_keys
from shared.store.rows import Lease
from shared.store.workers import WorkerInfo
from tests.conftest import LogTape
from tests.new_jobs import RETENTION
from tests.unit.worker.conftest import Bench
from tests.unit.worker.pools import until
from tests.unit.worker.test_held_claims import FixedBound, fields, holding, waiting
from worker.heartbeat import claim_returner as module
from worker.heartbeat.claim_returner import BLOCKED_SECONDS, ClaimReturner
from worker.lease_snapshot import SnapshotMemory

INFO = WorkerInfo("w", "host", os.getppid(), ["default"], slots=1, started_at=1.5)
Publish = Callable[[], None]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims are held, and may start, for as long as a test lasts."""
    monkeypatch.setattr("worker.held_claims.HOLD_SECONDS", 3600.0)
    monkeypatch.setattr("worker.held_claims.STALE_SECONDS", 3600.0)


@pytest.fixture
async def bench(fake_redis: Redis, memory: SnapshotMemory) -> AsyncIterator[Bench]:
    """A lane with one slot that holds up to four claims."""
    bench = Bench(fake_redis, slots=1)
    bench.jobs.held.ahead = FixedBound(4)
    bench.jobs.held.taken = memory.taken
    yield bench
    await bench.close()


@pytest.fixture
def publish(bench: Bench, memory: SnapshotMemory) -> Publish:
    def publish() -> None:
        memory.write(1, [pump.open_step for pump in bench.lane.pumps], bench.jobs.lease_lines.values())

    return publish


@pytest.fixture
def returner(bench: Bench, memory: SnapshotMemory) -> ClaimReturner:
    return ClaimReturner(INFO, [("w", 1), ("w", 2)], RETENTION, memory, bench.leases)


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes every snapshot an old one for the returner, as in a worker that is blocked."""

    def block() -> None:
        clock = time.monotonic
        monkeypatch.setattr(
            module, "time", type("Clock", (), {"monotonic": lambda: clock() + BLOCKED_SECONDS})
        )

    return block


async def test_held_claims_of_a_blocked_worker_go_back_to_their_places_uncharged(
    bench: Bench, publish: Publish, returner: ClaimReturner, blocked: Callable[[], None]
):
    await holding(bench, "a", "b", "c")
    publish()
    await returner.look()
    assert await waiting(bench) == []  # the snapshot is fresh
    blocked()
    await returner.look()
    assert await waiting(bench) == [b"b", b"c"]
    assert ((await fields(bench, "b"))[b"attempt"], await bench.state("a")) == (b"0", "running")


async def test_claims_are_returned_once_for_each_blockage(
    bench: Bench, publish: Publish, returner: ClaimReturner, blocked: Callable[[], None]
):
    await holding(bench, "a", "b")
    publish()
    blocked()
    bench.leases.away = True
    await returner.look()
    bench.leases.away = False
    await returner.look()
    steps = len(bench.leases.steps)
    await returner.look()
    assert (await waiting(bench), len(bench.leases.steps)) == ([b"b"], steps)


async def test_a_claim_that_was_started_after_the_snapshot_is_not_returned(
    bench: Bench, publish: Publish, returner: ClaimReturner, blocked: Callable[[], None]
):
    await holding(bench, "a", "b", "c")
    publish()
    bench.let_end("a")
    await until(lambda: bench.started == ["a", "b"])
    blocked()
    await returner.look()
    assert (await waiting(bench), await bench.state("b")) == ([b"c"], "running")


async def test_claims_whose_reply_was_not_read_are_returned(
    bench: Bench, memory: SnapshotMemory, returner: ClaimReturner, blocked: Callable[[], None]
):
    await holding(bench, "a", "b")
    step = int(await bench.redis.hget(redis_keys.WORKER + "w", "step") or 0)  # type: ignore[misc]
    memory.write(0, [step, 0], [])
    blocked()
    await returner.look()
    assert set(await waiting(bench)) >= {b"a", b"b"}


async def test_a_worker_that_was_blocked_starts_no_claim_that_may_have_been_returned(
    bench: Bench, log_tape: LogTape, monkeypatch: pytest.MonkeyPatch
):
    await holding(bench, "a", "b")
    await bench.leases.return_claims("w", [Lease("default", "1:b")], RETENTION)
    monkeypatch.setattr("worker.held_claims.STALE_SECONDS", 0.0)
    bench.lane.claiming = False  # so that this lane does not claim the job again
    bench.let_end("a")
    await until(lambda: not bench.jobs.running and not bench.jobs.held and not bench.jobs.unwritten)
    assert (bench.started, await waiting(bench)) == (["a"], [b"b"])
    assert log_tape.lines("outcome refused: the lease was lost") == []


async def test_claims_of_a_step_that_a_blockage_outlasted_go_back(bench: Bench):
    bench.jobs.tick()
    bench.jobs.ticked_at -= 1  # as if the loop had been blocked for a second
    await bench.submit("a")
    bench.run(*bench.pumps)
    await until(lambda: bench.leases.steps)
    bench.jobs.tick()
    await until(lambda: bench.started == ["a"])
    record = await fields(bench, "a")
    assert (record[b"attempt"], record[b"claims"]) == (b"1", b"2")


@pytest.mark.parametrize("dead", [True, False])
async def test_held_claims_of_a_dead_worker_go_back_at_once(
    dead: bool, bench: Bench, publish: Publish, returner: ClaimReturner, monkeypatch: pytest.MonkeyPatch
):
    await holding(bench, "a", "b")
    publish()
    monkeypatch.setattr(module, "DEATH_SECONDS", 0.01)
    returner._worker_info = replace(INFO, pid=0 if dead else os.getppid())
    await returner.return_of_dead()
    assert await waiting(bench) == ([b"b"] if dead else [])


async def test_the_returner_looks_again_and_again(returner: ClaimReturner, monkeypatch: pytest.MonkeyPatch):
    looks: list[int] = []

    async def look() -> None:
        looks.append(1)

    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(returner, "look", look)
    running = asyncio.ensure_future(returner.run())
    await until(lambda: len(looks) > 2)
    running.cancel()
