"""Batcher: which jobs run together, and whom a failed batch charges."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from worker.context import JobContext
from worker.execute import JobPostponed
from worker.models.batch import Batch
from worker.models.batcher import Answer, Batcher
from worker.models.forming import next_batch
from worker.processes.protocol import CallReport


class Job(NamedTuple):
    number: int
    cost: int = 1
    alone: bool = False


class RecordingHost:
    """A host that records its batches; each runs until the test lets it end."""

    def __init__(self, *, bad: Sequence[Any] = ()) -> None:
        self.ready = True
        self.failed = False
        self.batches: list[list[Any]] = []
        self.traces: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self._bad = bad
        self._running = False

    async def run(
        self,
        items: Sequence[Any],
        on_report: Callable[[CallReport], None],
        traces: Sequence[dict[str, str]] | None = None,
    ) -> list[Answer]:
        assert not self._running
        self.batches.append(list(items))
        self.traces.append(traces)
        self._running = True
        try:
            await asyncio.sleep(0)  # a batch takes some turns of the event loop
            await self.open.wait()
        finally:
            self._running = False
        if any(item in self._bad for item in items):
            raise RuntimeError("bad")
        return [str(item).encode() for item in items]


def batch(**bounds: Any) -> Batch:
    return Batch(setup=lambda device: None, **bounds)


def context(attempt: int = 1) -> JobContext:
    return JobContext("id", attempt, 3)


async def perform_all(batcher: Batcher, numbers: Sequence[int]) -> list[Any]:
    calls = [batcher.perform(number, 1, context()) for number in numbers]
    return await asyncio.gather(*calls, return_exceptions=True)


# -- forming


def test_a_batch_takes_the_oldest_jobs():
    jobs = [Job(n) for n in range(5)]
    assert next_batch(jobs, batch(size=3)) == jobs[:3]


def test_a_batch_has_jobs_of_similar_costs_around_the_oldest():
    costs = [50, 900, 60, 5, 55, 800, 40]
    jobs = [Job(n, cost) for n, cost in enumerate(costs)]
    chosen = next_batch(jobs, batch(size=4, cost_of=lambda _: 1))
    assert sorted(job.cost for job in chosen) == [40, 50, 55, 60]


@pytest.mark.parametrize(
    ("padded", "costs", "taken"),
    [
        (True, [10, 10, 10, 10], [10, 10, 10]),
        (True, [10, 20, 10], [10, 10]),
        (False, [10, 15, 30], [10, 15]),
        (True, [99, 1], [99]),  # a dearer job runs alone
        (True, [1, 99], [1]),
    ],
)
def test_a_batch_stays_within_its_cost(padded: bool, costs: list[int], taken: list[int]):
    jobs = [Job(n, cost) for n, cost in enumerate(costs)]
    bounds = batch(size=9, cost=30, cost_of=lambda _: 1, padded=padded)
    assert sorted(job.cost for job in next_batch(jobs, bounds)) == taken


def test_a_job_that_must_run_alone_is_left_out_of_others():
    jobs = [Job(0), Job(1, alone=True), Job(2)]
    assert next_batch(jobs, batch(size=3)) == [jobs[0], jobs[2]]
    assert next_batch(jobs[1:], batch(size=3)) == [jobs[1]]


@pytest.mark.parametrize("bounds", [{"size": 0}, {"cost": 5}, {"wait": -1.0}, {"setup_timeout": 0.0}])
def test_bounds_that_do_not_fit_are_refused(bounds: dict[str, Any]):
    with pytest.raises(ValueError, match="Batch: "):
        batch(**bounds)


# -- running


async def test_jobs_of_one_claim_run_together_and_later_ones_after_them():
    host = RecordingHost()
    host.open.clear()
    batcher = Batcher(batch(size=3), [host])
    first = asyncio.create_task(perform_all(batcher, [1, 2]))
    while not host.batches:
        await asyncio.sleep(0)
    later = asyncio.create_task(perform_all(batcher, [3, 4, 5, 6]))
    await asyncio.sleep(0)
    host.open.set()
    assert await first == [b"1", b"2"]
    assert await later == [b"3", b"4", b"5", b"6"]
    assert host.batches == [[1, 2], [3, 4, 5], [6]]


async def test_a_host_runs_one_batch_at_a_time():
    """However jobs arrive and end: a host that was given a batch is not given another one before its end."""
    host = RecordingHost()
    batcher = Batcher(batch(size=1), [host])

    async def ask_again(number: int) -> None:
        for _ in range(20):
            assert await batcher.perform(number, 1, context()) == str(number).encode()

    await asyncio.gather(*(ask_again(number) for number in range(8)))
    assert len(host.batches) == 160


async def test_a_failed_batch_runs_again_in_halves():
    host = RecordingHost(bad=[5])
    answers = await perform_all(Batcher(batch(size=8), [host]), range(8))
    assert [answer for answer in answers if not isinstance(answer, Exception)] == [
        b"0", b"1", b"2", b"3", b"4", b"6", b"7",
    ]  # fmt: skip
    assert isinstance(answers[5], RuntimeError)
    assert host.batches == [[*range(8)], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [6, 7]]


async def test_a_job_beside_one_that_was_stopped_has_not_failed_alone():
    host = RecordingHost(bad=[2])
    host.open.clear()
    batcher = Batcher(batch(size=8), [host])
    stopped, other = (asyncio.create_task(batcher.perform(n, 1, context())) for n in (2, 1))
    while not host.batches:
        await asyncio.sleep(0)
    stopped.cancel()
    host.open.set()
    assert await other == b"1"
    assert host.batches == [[2, 1], [1]]


async def test_a_job_that_failed_before_runs_alone():
    host = RecordingHost()
    batcher = Batcher(batch(size=8), [host])
    calls = [batcher.perform(n, 1, context(attempt)) for n, attempt in enumerate([1, 2, 1, 1])]
    await asyncio.gather(*calls)
    assert host.batches == [[0, 2, 3], [1]]


async def test_a_batch_waits_for_others_if_it_is_told_to():
    host = RecordingHost()
    batcher = Batcher(batch(size=2, wait=60.0), [host])
    first = asyncio.create_task(batcher.perform(1, 1, context()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert host.batches == []
    assert await batcher.perform(2, 1, context()) == b"2"
    assert (await first, host.batches) == (b"1", [[1, 2]])


async def test_jobs_without_a_host_are_postponed():
    host = RecordingHost()
    host.open.clear()
    batcher = Batcher(batch(size=1), [host])
    running, waiting = (asyncio.create_task(batcher.perform(n, 1, context())) for n in (1, 2))
    while not host.batches:
        await asyncio.sleep(0)
    host.ready = False
    batcher.note_hosts()
    with pytest.raises(JobPostponed):
        await waiting
    with pytest.raises(JobPostponed):
        await batcher.perform(3, 1, context())
    host.open.set()
    assert await running == b"1"


async def test_parts_of_a_failed_batch_wait_for_the_next_host_but_not_for_a_failed_setup():
    host = RecordingHost(bad=[1, 2])
    batcher = Batcher(batch(size=2), [host])
    host.open.clear()
    jobs = [asyncio.create_task(batcher.perform(n, 1, context())) for n in (1, 2)]
    while not host.batches:
        await asyncio.sleep(0)
    host.ready = False
    host.open.set()
    batcher.note_hosts()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(job.done() for job in jobs)
    host.failed = True
    batcher.note_hosts()
    for answer in await asyncio.gather(*jobs, return_exceptions=True):
        assert isinstance(answer, JobPostponed)
