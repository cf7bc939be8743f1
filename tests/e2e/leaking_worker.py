"""Worker whose `echo` keeps 100 MB for ever: `python -m tests.e2e.leaking_worker`."""

import sys

from job_types.echo.contract import ECHO, EchoParams
from shared.job_type_loader import load_job_types
from shared.settings import read_settings
from worker.__main__ import work
from worker.context import JobContext
from worker.handler import Handler
from worker.registry import load_handlers
from worker.settings import WorkerSettings

LEAKED: list[bytes] = []


async def leak(params: EchoParams, job: JobContext) -> EchoParams:
    LEAKED.append(b"x" * 100_000_000)
    return params


if __name__ == "__main__":
    others = [handler for handler in load_handlers() if handler.job_type is not ECHO]
    sys.exit(work(read_settings(WorkerSettings), load_job_types(), [*others, Handler(ECHO, leak)]))
