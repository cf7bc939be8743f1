"""The worker of the fault suite: `python -m chaos.worker`.

The real worker with two changes: the handler of `sleep` logs its starts to a file, and the job types of
`chaos.handlers` are added.
"""

import os
import sys
import time
from pathlib import Path

from chaos.handlers import batched, cross_calls, hold_interpreter, make_data, rogue_handlers, watched_jobs
from chaos.handlers.start_reports import report_no_start
from chaos.records import STARTS_FILE
from dev.stack import STACK_FOLDER
from job_types.sleep.contract import SLEEP, SleepParams, SleepResult
from job_types.sleep.handler import sleep
from shared.job_type_loader import load_job_types
from shared.settings import read_settings
from worker.__main__ import work
from worker.context import JobContext
from worker.handler import Handler
from worker.registry import load_handlers
from worker.settings import WorkerSettings

JOB_TYPES = {
    **{
        job_type.name: job_type
        for job_type in (batched.BATCHED, cross_calls.CROSS, hold_interpreter.HOLD, watched_jobs.WATCHED)
    },
    **make_data.JOB_TYPES,
    **rogue_handlers.JOB_TYPES,
}
PROGRESS = "CHAOS_PROGRESS"  # if set, the handler of `sleep` reports progress, as the real one does


class StartLog:
    """A file with a line per start. One write of a short line is never mixed with another process' write."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, job: JobContext) -> None:
        os.write(self._file, f"{job.job_id} {job.attempt} {os.getpid()} {time.time():.6f}\n".encode())


def with_start_log(starts: StartLog) -> Handler:
    """The handler of `sleep`, which logs its starts."""

    async def perform(params: SleepParams, job: JobContext) -> SleepResult:
        starts.add(job)
        if PROGRESS in os.environ:
            result: SleepResult = await sleep(params, job)
        else:
            report_no_start()
            result = await sleep(params, without_progress(job))
        return result

    return Handler(SLEEP, perform)


def without_progress(job: JobContext) -> JobContext:
    """A context that drops progress, so that a record's version counts changes of state alone."""
    return JobContext(job.job_id, job.attempt, job.max_attempts)


def main() -> int:
    starts = StartLog(Path(os.environ[STACK_FOLDER]) / STARTS_FILE)
    others = [handler for handler in load_handlers() if handler.job_type is not SLEEP]
    own = [
        batched.HANDLER,
        cross_calls.HANDLER,
        hold_interpreter.HANDLER,
        watched_jobs.HANDLER,
        *make_data.HANDLERS,
        *rogue_handlers.HANDLERS,
    ]
    handlers = [with_start_log(starts), *others, *own]
    return work(read_settings(WorkerSettings), load_job_types() | JOB_TYPES, handlers)


if __name__ == "__main__":
    sys.exit(main())
