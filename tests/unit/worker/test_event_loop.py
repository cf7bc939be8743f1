"""Tasks of the worker's event loop are cancelled by their own job and by the engine, and by no other job."""

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import LogTape
from worker.event_loop import WorkerLoop, create_task, make_task, owner_context


class Job(SimpleNamespace):
    """A job, as far as its tasks need it."""

    def __init__(self) -> None:
        super().__init__(ended=False, warned=False)


async def cancelled_by(caller: Job | None, owner: Job | None) -> bool:
    """Whether a task of one job ends when another one cancels it."""
    loop = asyncio.get_running_loop()
    task: asyncio.Task[Any] = create_task(loop, asyncio.sleep(3600), owner)
    await asyncio.sleep(0)
    token = owner_context.set(caller)
    obeyed = task.cancel()
    owner_context.reset(token)
    await asyncio.wait([task], timeout=0.01)
    assert task.cancelled() is obeyed
    if not obeyed:
        task.cancel()
        await asyncio.wait([task])
    return obeyed


def run(test: Any) -> None:
    with asyncio.Runner(loop_factory=WorkerLoop) as runner:
        runner.run(test)


def test_who_may_cancel_a_task(log_tape: LogTape) -> None:
    async def test() -> None:
        one, other, ended = Job(), Job(), Job()
        ended.ended = True
        assert await cancelled_by(None, one)
        assert await cancelled_by(one, one)
        assert await cancelled_by(one, ended)
        assert not await cancelled_by(one, other)
        assert not await cancelled_by(one, None)

    run(test())
    assert len(log_tape.lines("a handler tried to cancel tasks that are not its own; they go on")) == 1


def test_a_task_belongs_to_the_job_that_made_it() -> None:
    async def test() -> None:
        job = Job()

        async def nest() -> Any:
            return asyncio.create_task(asyncio.sleep(0))

        inner = await create_task(asyncio.get_running_loop(), nest(), job)
        assert inner.owner is job
        await inner
        assert owner_context.get() is None

    run(test())


def test_a_task_takes_every_option_of_its_python() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        task: asyncio.Task[Any] = make_task(loop, asyncio.sleep(0), name="a name")
        await task
        assert task.get_name() == "a name"

    run(test())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="eager_start is an option since Python 3.13")
def test_an_eager_task_has_its_owner_when_it_begins() -> None:
    async def test() -> None:
        job = Job()

        async def begin() -> Any:
            return asyncio.current_task()

        async def nest() -> Any:
            return await asyncio.get_running_loop().create_task(begin(), eager_start=True)

        task = await create_task(asyncio.get_running_loop(), nest(), job)
        assert task.owner is job

    run(test())


def test_a_timeout_of_a_job_ends_its_own_wait() -> None:
    async def wait() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.gather(asyncio.create_task(asyncio.sleep(3600)), asyncio.sleep(3600))
        except TimeoutError:
            return "in time"
        return "late"

    async def test() -> None:
        assert await create_task(asyncio.get_running_loop(), wait(), Job()) == "in time"

    run(test())


def test_a_loop_is_not_stopped_by_a_job() -> None:
    async def stop() -> None:
        with pytest.raises(RuntimeError, match="return from the handler"):
            asyncio.get_running_loop().stop()

    async def test() -> None:
        await create_task(asyncio.get_running_loop(), stop(), Job())

    run(test())
