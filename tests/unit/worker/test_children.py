"""Ends of child processes: after a kill, of the child or of the worker, no process is left over."""

import asyncio
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import uvloop

from dev.stack import ROOT, wait_until
from shared.errors import FinalError, RetryableError
from tests.unit.worker import in_child
from tests.unit.worker.pools import SOON, a_pool, children, descriptors, lives, process_in, until
from worker import reporting
from worker.processes.errors import pickled_error
from worker.processes.pool import Processes

MANY = 20


def test_many_kills_leave_nothing_behind():
    """On the event loop of a worker."""

    async def kill_often(pool: Processes, times: int) -> None:
        running = asyncio.Event()
        for _ in range(times):
            running.clear()
            call = asyncio.create_task(pool.run(in_child.compute, on_message=lambda _: running.set()))
            await running.wait()
            call.cancel()
            await asyncio.wait([call])

    async def kill_many() -> None:
        before = children()
        async with a_pool(2) as pool:
            await until(lambda: len(pool._free) == 2)
            opened = descriptors()
            await asyncio.gather(kill_often(pool, MANY // 2), kill_often(pool, MANY // 2))
            await until(lambda: len(pool._free) == 2)
            assert len(children() - before) == 2
            assert descriptors() == opened
        assert children() == before

    uvloop.run(kill_many())


def test_a_call_to_a_process_that_has_just_died_says_so():
    """On the event loop of a worker, which refuses to write to a connection whose end was seen."""

    async def call_the_dead() -> None:
        async with a_pool(1) as pool:
            await until(lambda: pool._free)
            child = pool._free[0]
            child._writer.transport.abort()
            await until(lambda: not child.alive)
            with pytest.raises(RetryableError) as caught:
                await child.call(b"", {}, None)
            assert caught.value.code == "process_crashed"

    uvloop.run(call_the_dead())


def test_a_parent_that_is_killed_takes_its_processes_along(tmp_path: Path):
    """The children: busy, busy without letting another thread run, with a child of its own, and idle."""
    names = ["compute", "hold_the_lock", "start_another"]
    calls = ", ".join(f"pool.run(in_child.{name}, {str(tmp_path / name)!r})" for name in names)
    script = f"""
import asyncio, uvloop
from tests.unit.worker import in_child
from worker.processes.pool import Processes

async def main():
    pool = Processes(4, max_calls=1000, max_rss=1 << 40)
    pool.start()
    await asyncio.gather({calls})

uvloop.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        wait_until(lambda: all((tmp_path / name).exists() for name in names), "the functions run")
        wait_until(lambda: len(children(parent.pid)) == 4, "all processes run")
        processes = {process_in(tmp_path / name) for name in names} | children(parent.pid)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(map(lives, processes)), "the processes end", seconds=SOON)


class RecordedCall:
    """A call that keeps its reports."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.reports: list[str] = []

    def progress(self, index: int | None, fraction: float, message: str) -> None:
        self.reports.append(f"{index} {fraction:g} {message}")

    def log(self, index: int | None, message: str, fields: dict[str, object]) -> None:
        self.reports.append(f"{index} {message} {fields}")

    def emit(self, index: int, chunk: object) -> None:
        self.reports.append(f"{index} {chunk}")


def test_a_report_reaches_the_call_that_runs(monkeypatch: pytest.MonkeyPatch):
    call = RecordedCall(os.getpid())
    monkeypatch.setattr(reporting, "current_call", call)
    in_child.report(1)
    assert call.reports == ["None 1 step 1", "None step {'number': 1}"]


def test_a_report_to_one_job_of_a_batch_names_its_place(monkeypatch: pytest.MonkeyPatch):
    call = RecordedCall(os.getpid())
    monkeypatch.setattr(reporting, "current_call", call)
    job = reporting.JobReports(3)
    job.progress(0.5, "half")
    job.log("line", number=1)
    job.emit("chunk")
    assert call.reports == ["3 0.5 half", "3 line {'number': 1}", "3 chunk"]


def test_a_report_of_a_fork_is_dropped(monkeypatch: pytest.MonkeyPatch):
    call = RecordedCall(os.getppid())  # as a fork of the call's process sees it
    monkeypatch.setattr(reporting, "current_call", call)
    in_child.report(1)
    assert call.reports == []


def test_a_report_outside_of_a_call_is_dropped():
    assert reporting.current_call is None
    in_child.report(1)


def test_a_failure_that_can_not_be_sent_keeps_what_it_says():
    failure = FinalError("no", code="broken", hint="Mend it.")
    failure.lock = threading.Lock()  # type: ignore[attr-defined]
    error = pickle.loads(pickled_error(failure, ()))
    assert (str(error), error.code, error.hint, error.retryable) == ("no", "broken", "Mend it.", False)
