"""Worker whose handler of `sleep` runs until a file is there: `python -m tests.e2e.gated_worker`."""

import asyncio
import os
import sys
from pathlib import Path

from dev.stack import STACK_FOLDER
from job_types.sleep.contract import SLEEP, SleepParams, SleepResult
from shared.job_type_loader import load_job_types
from shared.settings import read_settings
from worker.__main__ import work
from worker.context import JobContext
from worker.handler import Handler
from worker.registry import load_handlers
from worker.settings import WorkerSettings

GATE = "gate"  # the name of the file, in the folder of the stack


async def sleep_until_open(params: SleepParams, job: JobContext) -> SleepResult:
    gate = Path(os.environ[STACK_FOLDER]) / GATE
    while not gate.exists():
        await asyncio.sleep(0.01)
    return SleepResult(slept=params.seconds)


if __name__ == "__main__":
    handlers = [handler for handler in load_handlers() if handler.job_type is not SLEEP]
    handlers.append(Handler(SLEEP, sleep_until_open))
    sys.exit(work(read_settings(WorkerSettings), load_job_types(), handlers))
