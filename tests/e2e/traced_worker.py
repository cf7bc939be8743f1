"""Worker whose handler of `echo` returns its trace headers: `python -m tests.e2e.traced_worker`."""

import sys
from typing import Any

from job_types.echo.contract import ECHO, EchoParams
from shared.job_type_loader import load_job_types
from shared.settings import read_settings
from worker import reporting
from worker.__main__ import work
from worker.context import JobContext
from worker.handler import Handler
from worker.registry import load_handlers
from worker.settings import WorkerSettings


async def echo_traces(params: EchoParams, job: JobContext) -> EchoParams:
    in_process = await job.in_process(reporting.trace_headers)
    found: dict[str, Any] = {"handler": job.trace.headers, "caller": job.caller_trace.headers}
    return EchoParams(message={**found, "process": in_process})


if __name__ == "__main__":
    settings = read_settings(WorkerSettings)
    handlers = [handler for handler in load_handlers(settings.job_types) if handler.job_type is not ECHO]
    handlers.append(Handler(ECHO, echo_traces))
    sys.exit(work(settings, load_job_types(settings.job_types), handlers))
