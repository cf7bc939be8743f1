"""A blocking function runs in a daemon thread of its own, and its caller can leave."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from worker.threads import run_in_thread

WHO: ContextVar[str] = ContextVar("who", default="nobody")
PATIENCE = 10


async def test_the_result_comes_back():
    def add(left: int, right: int) -> int:
        return left + right

    assert await run_in_thread(add, 1, 2) == 3


async def test_it_runs_in_a_daemon_thread_that_bears_its_name():
    def look() -> threading.Thread:
        return threading.current_thread()

    thread = await run_in_thread(look)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert thread.name == "handler-look"


async def test_each_call_has_a_thread_of_its_own():
    both_are_here = threading.Barrier(20, timeout=PATIENCE)

    def meet() -> int:
        both_are_here.wait()
        return threading.get_ident()

    assert len(set(await asyncio.gather(*(run_in_thread(meet) for _ in range(20))))) == 20


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), BaseException("no")])
async def test_what_the_function_raises_reaches_the_caller(error: BaseException):
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await run_in_thread(fail)
    assert caught.value is error


class EndOfItems(StopIteration):
    pass


@pytest.mark.parametrize("kind", [StopIteration, EndOfItems])
async def test_a_stop_iteration_reaches_the_caller_as_a_runtime_error(kind: type[StopIteration]):
    def fail() -> None:
        raise kind("done")

    with pytest.raises(RuntimeError, match=f"The handler raised {kind.__name__}\\('done'\\)"):
        async with asyncio.timeout(PATIENCE):
            await run_in_thread(fail)


async def test_the_context_reaches_the_thread():
    def look() -> str:
        return WHO.get()

    WHO.set("the caller")
    assert await run_in_thread(look) == "the caller"


async def test_what_the_thread_sets_stays_there():
    def change() -> None:
        WHO.set("the thread")

    WHO.set("the caller")
    await run_in_thread(change)
    assert WHO.get() == "the caller"


async def test_the_loop_runs_on_meanwhile():
    loop_ran = threading.Event()

    def wait() -> bool:
        return loop_ran.wait(PATIENCE)

    asyncio.get_running_loop().call_soon(loop_ran.set)
    assert await run_in_thread(wait)


@pytest.mark.parametrize("error", [None, ValueError("late")], ids=["a result", "an error"])
async def test_a_caller_can_leave_and_what_comes_late_goes_nowhere(error: Exception | None):
    loop = asyncio.get_running_loop()
    faults: list[dict] = []
    loop.set_exception_handler(lambda _, fault: faults.append(fault))
    running, release, thread = threading.Event(), threading.Event(), []

    def work() -> int:
        thread.append(threading.current_thread())
        running.set()
        release.wait(PATIENCE)
        if error:
            raise error
        return 1

    caller = asyncio.create_task(run_in_thread(work))
    assert await asyncio.to_thread(running.wait, PATIENCE)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert thread[0].is_alive()
    release.set()
    await asyncio.to_thread(thread[0].join, PATIENCE)
    await asyncio.sleep(0)  # the loop takes the late outcome
    assert not thread[0].is_alive()
    assert faults == []


def test_a_thread_that_outlives_its_loop_ends_quietly(monkeypatch: pytest.MonkeyPatch):
    faults: list[object] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)
    running, release, threads = threading.Event(), threading.Event(), []

    def work() -> None:
        threads.append(threading.current_thread())
        running.set()
        release.wait(PATIENCE)

    async def leave() -> None:
        caller = asyncio.create_task(run_in_thread(work))
        await asyncio.to_thread(running.wait, PATIENCE)
        caller.cancel()

    asyncio.run(leave())
    release.set()
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()
    assert faults == []
