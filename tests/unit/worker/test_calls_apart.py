"""Calls in a child process, kept apart: no answer, report, thread or environment of another call."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import RetryableError
from tests.unit.worker import in_child
from tests.unit.worker.pools import a_pool, lives, until
from worker.processes.protocol import CallReport


class Reports:
    """Reports of one call, in order."""

    def __init__(self) -> None:
        self.all: list[CallReport] = []

    def __call__(self, report: CallReport) -> None:
        self.all.append(report)


@pytest.mark.parametrize("function", [in_child.fork_and_return, in_child.fork_and_fail])
async def test_a_fork_that_returns_answers_nothing(function: Callable[[Any], Any]):
    async with a_pool() as pool:
        for number in range(5):
            reports = Reports()
            assert await pool.run(function, number, on_message=reports) == number
            assert reports.all == []
            assert await pool.run(in_child.give_back, -number) == -number


@pytest.mark.parametrize("function", [in_child.answer_twice, in_child.write_to_every_descriptor])
async def test_a_child_that_speaks_unasked_is_replaced(function: Callable[[Any], Any]):
    async with a_pool() as pool:
        first = await pool.run(in_child.pid)
        for number in range(3):
            with pytest.raises(RetryableError, match=r"does not belong to this call|died") as caught:
                await pool.run(function, number)
            assert caught.value.code == "process_crashed"
            assert await pool.run(in_child.give_back, -number) == -number
        assert await pool.run(in_child.pid) != first


@pytest.mark.parametrize(
    "function", [in_child.report_for_ever, in_child.leave_a_raw_thread, in_child.leave_a_process]
)
async def test_a_child_that_keeps_threads_or_processes_is_replaced(
    function: Callable[[], None], log_tape: Any
):
    async with a_pool() as pool:
        first = await pool.run(in_child.pid)
        await pool.run(function)
        reports = Reports()
        assert await pool.run(in_child.pid, on_message=reports) != first
        assert reports.all == []
        await until(lambda: not lives(first))
        (line,) = log_tape.lines("a function left something behind; its process is replaced")
        assert line["left"] == ("processes" if function is in_child.leave_a_process else "threads")


async def test_threads_and_processes_that_end_with_the_call_are_no_reason_to_replace_a_child():
    async with a_pool() as pool:
        assert len({await pool.run(in_child.use_threads_and_processes) for _ in range(3)}) == 1


async def test_the_surroundings_of_a_call_are_those_of_the_one_before():
    async with a_pool() as pool:
        before = await pool.run(in_child.surroundings)
        changed = await pool.run(in_child.change_surroundings)
        assert all(before[name] != changed[name] for name in before if name != "pid")
        assert await pool.run(in_child.surroundings) == before


async def test_a_long_message_is_cut_in_the_child():
    async with a_pool() as pool:
        with pytest.raises(RetryableError) as caught:
            await pool.run(in_child.fail_at_length, 50_000_000)
        assert str(caught.value).startswith("ValueError: xxx")
        assert len(str(caught.value)) < 50_000


async def test_a_group_of_errors_comes_back_as_it_is():
    async with a_pool() as pool:
        with pytest.raises(ExceptionGroup) as caught:
            await pool.run(in_child.fail_in_a_group)
        assert "decided" in str([inner.code for inner in caught.value.exceptions[1].exceptions])
