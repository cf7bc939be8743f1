"""The job type `watched`: its handler logs start and end to a file that all workers share."""

import asyncio
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from chaos.handlers.start_reports import report_no_start
from dev.stack import STACK_FOLDER
from shared.job_type import JobType, Params
from worker.context import JobContext
from worker.handler import Handler

FILE = "watched"


class Watched(Params):
    sleep: float = 0.0
    block: float = 0.0  # seconds for which the event loop stands still


WATCHED = JobType(
    name="watched", summary="", params=Watched, result=type(None), example={}, timeout=60, max_attempts=1
)


class HandlerEvent(NamedTuple):
    """The start or the end of a handler; `change` is 1 or -1, and `at` in `time.time()`."""

    job_id: str
    pid: int
    change: int
    at: float


async def watched(params: Watched, job: JobContext) -> None:
    report_no_start()
    path = Path(os.environ[STACK_FOLDER]) / FILE
    _log(path, job.job_id, 1)
    try:
        if params.sleep:
            await asyncio.sleep(params.sleep)
        if params.block:
            time.sleep(params.block)  # noqa: ASYNC251  # the fault
    finally:
        _log(path, job.job_id, -1)


def read_events(folder: Path) -> list[HandlerEvent]:
    """The starts and ends of all handlers, in order of time; `folder` is the stack's."""
    lines = [line.split() for line in (folder / FILE).read_text().splitlines()]
    events = [HandlerEvent(job_id, int(pid), int(change), float(at)) for job_id, pid, change, at in lines]
    return sorted(events, key=lambda event: event.at)


def most_at_once(events: list[HandlerEvent]) -> int:
    """The largest number of handlers that ran at once in one process."""
    running: dict[int, int] = defaultdict(int)
    most = 0
    for event in events:
        running[event.pid] += event.change
        most = max(most, running[event.pid])
    return most


def _log(path: Path, job_id: str, change: int) -> None:
    """Append a line; one write of a short line is never mixed with that of another process."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{job_id} {os.getpid()} {change} {time.time():.6f}\n".encode())
    finally:
        os.close(file)


HANDLER = Handler(WATCHED, watched)
