"""RunningJobs: a stopped job ends together with its process, whatever its handler does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
from arq.jobs import serialize_job

from shared.job_type import JobType, Params
from shared.store.job_leases import Claim, OutcomeKind
from tests.unit.worker import in_child
from tests.unit.worker.pools import PATIENCE, SOON, a_pool, lives, process_in, until
from worker.context import BlockingContext, JobContext, Tools
from worker.handler import Handler
from worker.running_jobs import RunningJobs


class Place(Params):
    started: str


WORK = JobType(
    name="work", summary="", params=Place, result=type(None), example={}, timeout=3600, max_attempts=1
)
HELD: set[asyncio.Future[None]] = set()
CLEANED: list[str] = []
ENDLESS: list[str] = []
NEVER = asyncio.Event()


def no_files(claim: Claim) -> NoReturn:
    raise AssertionError("no job here has files")


async def obey(params: Place, job: JobContext) -> None:
    await job.in_process(in_child.compute, params.started)


async def swallow(params: Place, job: JobContext) -> None:
    with suppress(asyncio.CancelledError):
        await job.in_process(in_child.compute, params.started)


async def try_again(params: Place, job: JobContext) -> None:
    for _ in range(3):
        with suppress(asyncio.CancelledError):
            await job.in_process(in_child.compute, params.started)


async def shield(params: Place, job: JobContext) -> None:
    HELD.add(asyncio.ensure_future(job.in_process(in_child.compute, params.started)))
    await asyncio.shield(*HELD)


async def ignore(params: Place, job: JobContext) -> None:
    HELD.add(asyncio.ensure_future(job.in_process(in_child.compute, params.started)))
    with suppress(asyncio.CancelledError):
        await asyncio.shield(*HELD)
    ENDLESS.append(job.job_id)
    await NEVER.wait()


async def leave_behind(params: Place, job: JobContext) -> None:
    HELD.add(asyncio.ensure_future(job.in_process(in_child.compute, params.started)))
    await until(Path(params.started).exists)


async def clean_up(params: Place, job: JobContext) -> None:
    try:
        await job.in_process(in_child.compute, params.started)
    finally:
        await asyncio.sleep(0.01)
        CLEANED.append(job.job_id)


def wait_in_a_thread(params: Place, job: BlockingContext) -> None:
    job.in_process(in_child.compute, params.started)


def swallow_in_a_thread(params: Place, job: BlockingContext) -> None:
    for _ in range(3):
        with suppress(asyncio.CancelledError):
            job.in_process(in_child.compute, params.started)


def time_out(jobs: RunningJobs) -> None:
    for job in jobs.running.values():
        job.deadline = 0
    jobs.tick()


HANDLERS = [obey, swallow, try_again, shield, clean_up, wait_in_a_thread, swallow_in_a_thread]
ENDS: dict[str, tuple[Callable[[RunningJobs], object], OutcomeKind | None]] = {
    "cancel": (lambda jobs: jobs.cancel({"a-job"}), OutcomeKind.CANCELLED),
    "timeout": (time_out, OutcomeKind.FAILED),
    "shutdown": (lambda jobs: jobs.release(), OutcomeKind.RELEASED),
    "lost lease": (lambda jobs: jobs.stop_soon({"7:a-job"}, set()), None),
}


@pytest.fixture
async def running() -> AsyncIterator[Callable[..., Awaitable[RunningJobs]]]:
    """Slots in which a handler keeps a process busy."""
    HELD.clear()
    CLEANED.clear()
    ENDLESS.clear()
    async with a_pool() as pool:

        async def start(function: Callable[..., Any], started: Path) -> RunningJobs:
            jobs = RunningJobs(
                1,
                {"work": Handler(WORK, function)},
                max_result_bytes=100,
                tools=Tools(pool, no_files),
                on_report=lambda: None,
            )
            message = serialize_job("work", ["a-job"], {}, None, 0, serializer=orjson.dumps)
            params = orjson.dumps({"started": str(started)})
            jobs.start(Claim("default", "a-job", 7, 1, 1, message, params, "a-request", "7:a-job"))
            await until(started.exists)
            return jobs

        yield start


@pytest.mark.parametrize(
    ("function", "end"),
    [
        *((function, "cancel") for function in HANDLERS),
        *((obey, end) for end in ENDS),
        (wait_in_a_thread, "timeout"),
    ],
)
async def test_the_process_dies_and_the_job_ends(
    running: Callable[..., Awaitable[RunningJobs]], function: Callable[..., Any], end: str, tmp_path: Path
):
    jobs = await running(function, tmp_path / "started")
    process = process_in(tmp_path / "started")
    tell, kind = ENDS[end]
    tell(jobs)
    await until(lambda: not lives(process) and not jobs.running, seconds=SOON)
    assert [finished.outcome.kind for finished in jobs.finished] == ([kind] if kind else [])


async def test_the_process_dies_even_if_the_handler_does_not_end(
    running: Callable[..., Awaitable[RunningJobs]], tmp_path: Path
):
    jobs = await running(ignore, tmp_path / "started")
    jobs.cancel({"a-job"})
    await until(lambda: ENDLESS and not lives(process_in(tmp_path / "started")), seconds=SOON)
    await asyncio.wait(HELD, timeout=SOON)  # its call, which was stopped too
    (job,) = jobs.running.values()
    assert job.task is not None
    assert not job.task.done()
    assert (ENDLESS, jobs.finished) == (["a-job"], [])


async def test_a_process_that_nobody_waits_for_dies_with_its_attempt(
    running: Callable[..., Awaitable[RunningJobs]], tmp_path: Path
):
    jobs = await running(leave_behind, tmp_path / "started")
    await until(lambda: not lives(process_in(tmp_path / "started")), seconds=SOON)
    assert [finished.outcome.kind for finished in jobs.finished] == [OutcomeKind.COMPLETED]


async def test_a_handler_that_cleans_up_is_cancelled_but_once(
    running: Callable[..., Awaitable[RunningJobs]], tmp_path: Path
):
    jobs = await running(clean_up, tmp_path / "started")
    jobs.cancel({"a-job"})
    await until(lambda: not jobs.running, seconds=PATIENCE)
    assert CLEANED == ["a-job"]
