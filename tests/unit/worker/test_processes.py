"""Functions run in processes that can be killed; whatever one does, its caller alone has the damage."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from shared.errors import FinalError, JobFailure, RetryableError
from tests.unit.worker import in_child
from tests.unit.worker.pools import PATIENCE, SOON, a_pool, begin, children, lives, until
from worker.processes import child
from worker.processes.pool import Processes
from worker.processes.protocol import CallReport

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Processes]:
    """A pool of a single process, for the calls of many tests."""
    async with a_pool() as pool:
        yield pool


async def raised(call: Awaitable[object]) -> Any:
    """The error that a call ends with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the test looks at it
        await call
    return caught.value


# -- calls


async def test_a_function_runs_in_another_process_and_its_result_comes_back(pool: Processes):
    assert await pool.run(in_child.give_back, {"a": [1, b"\x00", None]}) == {"a": [1, b"\x00", None]}
    assert await pool.run(in_child.pid) != os.getpid()


async def test_a_process_serves_one_call_after_another(pool: Processes):
    assert len({await pool.run(in_child.pid) for _ in range(20)}) == 1


async def test_calls_are_served_in_their_order(pool: Processes):
    order: list[int] = []

    async def call(number: int) -> None:
        await pool.run(in_child.pid)
        order.append(number)

    await asyncio.gather(*(call(n) for n in range(20)))
    assert order == list(range(20))


async def test_calls_run_side_by_side(tmp_path: Path):
    async with a_pool(2) as pool:
        calls = [await begin(pool, in_child.compute, tmp_path / str(n)) for n in range(2)]
    assert calls[0][1] != calls[1][1]
    for call, _ in calls:
        await raised(call)


async def test_large_arguments_and_results_arrive(pool: Processes):
    value = os.urandom(1 << 20) * 50
    assert await pool.run(in_child.give_back, value) == value


async def test_what_a_function_prints_disturbs_nobody(capfd: pytest.CaptureFixture[str]):
    async with a_pool() as pool:
        assert await pool.run(in_child.chatter) == "done"
    out, err = capfd.readouterr()
    assert out == ""
    assert "this is no message" in err


async def test_a_child_is_modest_and_takes_nothing_with_it():
    """Not the descriptors of Redis, not the terminal's Ctrl-C; and it imports no more than it is asked to."""
    async with a_pool() as pool:
        state = await pool.run(in_child.state)
    assert state["nice"] == os.nice(0) + child.NICENESS
    assert state["SIGINT"] == signal.SIG_IGN
    assert state["group"]
    assert state["limits"]["RLIMIT_CORE"] == (0, 0)
    assert state["limits"]["RLIMIT_FSIZE"] == (child.LARGEST_FILE, child.LARGEST_FILE)
    assert max(state["limits"]["RLIMIT_NOFILE"]) <= child.OPEN_FILES
    assert state["descriptors"] == len([0, 1, 2, "the connection", "the lifeline", "the listing itself"])
    assert not state["imported"] & {"pydantic", "orjson", "redis", "arq", "structlog"}


# -- errors


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda: 1, ()),
        (in_child.give_back, (threading.Lock(),)),
        (in_child.make_a_lock, ()),
        (in_child.make_stubborn, ()),
    ],
    ids=["a lambda", "an argument", "a result", "a result that can't be taken in"],
)
async def test_what_can_not_be_sent_fails_for_good(
    pool: Processes, function: Callable[..., object], arguments: tuple[object, ...]
):
    error = await raised(pool.run(function, *arguments))
    assert isinstance(error, FinalError)
    assert (error.code, error.retryable) == ("unpicklable", False)
    assert "top level of a module" in error.hint
    assert await pool.run(in_child.give_back, 1) == 1


async def test_a_function_that_a_child_can_not_import_fails_for_good(
    pool: Processes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(in_child.pid, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "pid", in_child.pid, raising=False)
    error = await raised(pool.run(in_child.pid))
    assert (type(error), error.code) == (FinalError, "unpicklable")
    assert "pid" in error.message


async def test_an_error_comes_back_with_the_traceback_of_the_child(pool: Processes):
    error = await raised(pool.run(in_child.fail, KeyError("no such thing")))
    assert (type(error), error.args) == (KeyError, ("no such thing",))
    assert "in_child.py" in error.__notes__[0]


@pytest.mark.parametrize(
    "failure",
    [
        RetryableError("no", code="busy", hint="Wait."),
        FinalError("no", code="broken", hint="Mend it."),
        JobFailure("no", retryable=False),
    ],
)
async def test_a_failure_keeps_what_it_says(pool: Processes, failure: JobFailure):
    error = await raised(pool.run(in_child.fail, failure))
    assert type(error) is type(failure)
    for part in ("message", "code", "hint", "retryable"):
        assert getattr(error, part) == getattr(failure, part)


@pytest.mark.parametrize("function", [in_child.fail_with_a_lock, in_child.fail_pickily])
async def test_an_error_that_can_not_be_sent_is_told(pool: Processes, function: Callable[..., object]):
    error = await raised(pool.run(function))
    assert isinstance(error, RetryableError)
    assert error.message.startswith(("ValueError: ('locked', ", "Picky: it failed, because of bad luck"))


@pytest.mark.parametrize("kind", in_child.BAD_ENDS)
async def test_what_is_meant_to_end_a_process_ends_the_call_alone(pool: Processes, kind: str):
    process = await pool.run(in_child.pid)
    error = await raised(pool.run(in_child.end_badly, kind))
    assert (type(error), error.message) == (RetryableError, f"{kind}: out")
    assert await pool.run(in_child.pid) == process


# -- crashes


@pytest.mark.parametrize("how", in_child.CRASHES)
async def test_a_crash_fails_its_call_alone(pool: Processes, how: str):
    neighbour = asyncio.create_task(pool.run(in_child.give_back, 1))
    error = await raised(pool.run(in_child.crash, how))
    assert (type(error), error.code) == (RetryableError, "process_crashed")
    assert error.message.endswith(f"died: {how}.")
    assert ("memory" in error.hint) == (how == "SIGKILL")
    assert await neighbour == await pool.run(in_child.give_back, 1)


async def test_a_process_that_breaks_off_the_connection_has_crashed(pool: Processes):
    error = await raised(pool.run(in_child.lose_the_connection))
    assert error.code == "process_crashed"
    assert await pool.run(in_child.give_back, 1) == 1


async def test_a_process_that_dies_while_it_waits_is_replaced(pool: Processes):
    process = await pool.run(in_child.pid)
    os.kill(process, signal.SIGKILL)
    await until(lambda: not pool._free[-1].alive)
    assert await pool.run(in_child.pid) != process


# -- the end of a call


async def test_a_cancelled_caller_kills_the_process_and_the_next_one_is_served(
    pool: Processes, tmp_path: Path
):
    call, process = await begin(pool, in_child.compute, tmp_path / "started")
    waiting = asyncio.create_task(pool.run(in_child.pid))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: not lives(process), seconds=SOON)
    assert await waiting != process


async def test_a_process_dies_with_all_that_it_has_started(pool: Processes, tmp_path: Path):
    call, process = await begin(pool, in_child.start_another, tmp_path / "started")
    assert lives(process)
    call.cancel()
    await until(lambda: not lives(process), seconds=SOON)


async def test_a_caller_that_leaves_while_it_waits_takes_no_process_along(pool: Processes, tmp_path: Path):
    call, process = await begin(pool, in_child.compute, tmp_path / "started")
    waiting = [asyncio.create_task(pool.run(in_child.pid)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    call.cancel()
    async with asyncio.timeout(PATIENCE):
        assert await waiting[2] != process


async def test_a_process_is_replaced_after_its_calls():
    async with a_pool(max_calls=3) as pool:
        served = [await pool.run(in_child.pid) for _ in range(7)]
    assert [served.count(process) for process in dict.fromkeys(served)] == [3, 3, 1]


async def test_a_process_that_has_grown_large_is_replaced():
    async with a_pool(max_rss=60 << 20) as pool:
        small, large = await pool.run(in_child.grow, 1), await pool.run(in_child.grow, 80 << 20)
        assert small == large
        assert await pool.run(in_child.pid) != large


async def test_closing_kills_all_whatever_they_do(tmp_path: Path):
    before = children()
    async with a_pool(2) as pool:
        call, process = await begin(pool, in_child.hold_the_lock, tmp_path / "started")
    assert not lives(process)
    assert children() == before
    assert (await raised(call)).code == "process_crashed"


# -- the start


async def test_a_process_that_does_not_start_is_tried_again_later_and_later(
    monkeypatch: pytest.MonkeyPatch, log_tape: Any
):
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            monkeypatch.setattr(sys, "executable", python)
        await sleep(0)

    python = sys.executable
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(asyncio, "sleep", pause)
    async with a_pool() as pool:
        assert await pool.run(in_child.give_back, 1) == 1
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10])
    assert len(log_tape.lines("a child process does not start")) == 8


async def test_an_interpreter_that_is_gone_is_logged(monkeypatch: pytest.MonkeyPatch, log_tape: Any):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with a_pool():
        await until(lambda: log_tape.lines("a child process does not start"))
    assert "FileNotFoundError" in log_tape.lines("a child process does not start")[0]["reason"]


# -- reports


async def test_reports_arrive_while_the_function_runs(pool: Processes, tmp_path: Path):
    reports: list[CallReport] = []
    end = tmp_path / "end"
    call = asyncio.create_task(pool.run(in_child.report, 3, str(end), on_message=reports.append))
    await until(lambda: reports and reports[-1].progress == (1.0, "step 3"))
    assert not call.done()
    end.touch()
    await call
    lines = [orjson.loads(line.body) for report in reports for line in report.lines]
    assert lines == [{"message": "step", "fields": {"number": n}} for n in (1, 2, 3)]


async def test_many_reports_become_a_few_and_the_last_one_is_among_them(pool: Processes):
    reports: list[CallReport] = []
    loop = asyncio.get_running_loop()
    start = loop.time()
    await pool.run(in_child.report, 20_000, on_message=reports.append)
    assert len(reports) <= 3 + (loop.time() - start) / child.REPORT_SECONDS
    assert reports[-1].progress == (1.0, "step 20000")
    lines = [orjson.loads(line.body) for report in reports for line in report.lines]
    numbers = [line["fields"]["number"] for line in lines if line["message"] == "step"]
    dropped = sum(line["fields"].get("dropped", 0) for line in lines)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == len(numbers) + dropped == 20_000


async def test_who_does_not_listen_gets_the_result_alone(pool: Processes):
    assert await pool.run(in_child.report, 3) is None


async def test_what_a_thread_that_was_left_behind_reports_goes_nowhere(pool: Processes):
    reports: list[CallReport] = []
    await pool.run(in_child.report_for_ever)
    await pool.run(in_child.give_back, 1)
    assert await pool.run(in_child.give_back, 1, on_message=reports.append) == 1
