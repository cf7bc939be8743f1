"""A worker for the fault suite: `python -m chaos.worker`.

It is the real worker. Only the handler of `sleep` is another one, which writes down every start, and
there are handlers that do what no handler must do.
"""

import os
import sys
import time
from pathlib import Path

from chaos import crossers, holders, makers, rogues
from job_types.sleep.contract import SLEEP, SleepParams, SleepResult
from job_types.sleep.handler import sleep
from shared.job_type_loader import load_job_types
from shared.settings import read_settings
from worker.__main__ import work
from worker.context import JobContext
from worker.registry import Handler, load_handlers
from worker.settings import WorkerSettings

JOB_TYPES = {c.name: c for c in (crossers.CROSS, holders.HOLD)} | makers.JOB_TYPES | rogues.JOB_TYPES
STARTS = "CHAOS_STARTS"  # the file that starts are appended to, by every worker
PROGRESS = "CHAOS_PROGRESS"  # set: handlers report progress, as the real one does


class Starts:
    """Appends a line per start; one write of a short line is never mixed with another's."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, job: JobContext) -> None:
        os.write(self._file, f"{job.job_id} {job.attempt} {os.getpid()} {time.time():.6f}\n".encode())


def counted(starts: Starts) -> Handler:
    """The handler of `sleep`, with its starts counted."""

    async def perform(params: SleepParams, job: JobContext) -> SleepResult:
        starts.note(job)
        result: SleepResult = await sleep(params, job if PROGRESS in os.environ else silent(job))
        return result

    return Handler(SLEEP, perform)


def silent(job: JobContext) -> JobContext:
    """A context whose progress goes nowhere, so that a record's version counts nothing but moves."""
    return JobContext(job.job_id, job.attempt, job.max_attempts)


def main() -> int:
    starts = Starts(Path(os.environ[STARTS]))
    others = [handler for handler in load_handlers() if handler.job_type is not SLEEP]
    own = [crossers.HANDLER, holders.HANDLER, *makers.HANDLERS, *rogues.HANDLERS]
    handlers = [counted(starts), *others, *own]
    return work(read_settings(WorkerSettings), load_job_types() | JOB_TYPES, handlers)


if __name__ == "__main__":
    sys.exit(main())
