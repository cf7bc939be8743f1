"""The recycler: when a worker is to be replaced, and that signals still count afterwards."""

import asyncio

import pytest

from tests.unit.worker.conftest import Bench
from tests.unit.worker.pools import until
from worker import recycler
from worker.recycler import LEAST_ROOM, SPREAD, Recycler, fault_of_max_rss
from worker.shutdown import Shutdown

MB = 1 << 20


@pytest.fixture
def reasons() -> list[str]:
    """The reasons for which the worker was to end."""
    return []


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The resident memory of the worker; a test changes it."""
    memory = [100 * MB]
    monkeypatch.setattr(recycler, "resident_bytes", lambda: memory[0])
    return memory


def test_a_worker_ends_after_enough_jobs(bench: Bench, reasons: list[str]):
    limit = Recycler(bench.jobs, max_jobs=1000, max_rss=0, on_due=reasons.append)
    bench.jobs.ended = int(1000 * (1 - SPREAD)) - 1
    limit.check_jobs()
    assert reasons == []
    bench.jobs.ended = 1000
    limit.check_jobs()
    assert reasons == ["1000 jobs have ended (WORKER_MAX_JOBS)"]


@pytest.mark.parametrize("max_jobs", [1, 2])
def test_a_low_limit_still_lets_a_worker_end_a_job(bench: Bench, reasons: list[str], max_jobs: int):
    limit = Recycler(bench.jobs, max_jobs=max_jobs, max_rss=0, on_due=reasons.append)
    limit.check_jobs()
    assert reasons == []
    bench.jobs.ended = max_jobs
    limit.check_jobs()
    assert len(reasons) == 1


def test_workers_that_start_together_do_not_end_together(bench: Bench):
    ended = set()
    for _ in range(20):
        limit = Recycler(bench.jobs, max_jobs=1000, max_rss=0, on_due=lambda _: ended.add(bench.jobs.ended))
        for bench.jobs.ended in range(1001):
            before = len(ended)
            limit.check_jobs()
            if len(ended) > before:
                break
    assert len(ended) > 5
    assert min(ended) >= 1000 * (1 - SPREAD)


async def test_ended_attempts_are_counted(bench: Bench):
    await bench.submit("a", "b", "c")
    bench.run(*bench.pumps)
    await until(lambda: bench.started == ["a", "b"])
    assert bench.jobs.ended == 0
    bench.let_end("a")
    bench.let_end("b")
    await until(lambda: bench.started == ["a", "b", "c"])
    assert bench.jobs.ended == 2


def test_a_worker_ends_above_the_limit_of_memory(bench: Bench, reasons: list[str], memory: list[int]):
    limit = Recycler(bench.jobs, max_jobs=0, max_rss=200 * MB, on_due=reasons.append)
    bench.jobs.ended = 1
    limit.check_memory()
    assert reasons == []
    memory[0] = 200 * MB + 1
    limit.check_memory()
    assert reasons == [f"the worker has {memory[0]} bytes of resident memory (WORKER_MAX_RSS_BYTES)"]


def test_memory_counts_after_the_first_job(bench: Bench, reasons: list[str], memory: list[int]):
    """Else a worker that is large from its start would be replaced for ever, and run nothing."""
    limit = Recycler(bench.jobs, max_jobs=0, max_rss=50 * MB, on_due=reasons.append)
    limit.check_memory()
    assert reasons == []
    bench.jobs.ended = 1
    limit.check_memory()
    assert len(reasons) == 1


async def test_memory_is_looked_at_again_and_again(
    bench: Bench, reasons: list[str], memory: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recycler, "LOOK_SECONDS", 0.001)
    limit = Recycler(bench.jobs, max_jobs=0, max_rss=200 * MB, on_due=reasons.append)
    bench.jobs.ended = 1
    bench.run(limit.run)
    memory[0] = 300 * MB
    await until(lambda: reasons)


def test_a_limit_below_the_memory_of_a_new_worker_is_refused(memory: list[int]):
    least = int(100 * MB * LEAST_ROOM)
    assert fault_of_max_rss(0) is None
    assert fault_of_max_rss(least) is None
    fault = fault_of_max_rss(least - 1)
    assert fault == (f"a worker has {100 * MB} bytes before its first job; set {least} or more, or 0")


# -- the planned end, and signals


async def test_the_first_signal_during_a_planned_end_leaves_the_grace(bench: Bench):
    shutdown = Shutdown(grace=60)
    shutdown.begin()
    drained = asyncio.ensure_future(shutdown._until(lambda: shutdown._hurry, 60))
    shutdown.request()
    assert shutdown.requested.is_set()
    assert not shutdown._hurry
    shutdown.request()
    assert await drained
