"""The job type `cross`: a function in a child process that forks, leaves threads, or writes anywhere.

Each of these faults could let one call answer or report for another.
"""

import contextlib
import os
import threading
import time
from typing import Literal

from shared.job_type import Backoff, JobType, Params
from worker.context import JobContext
from worker.handler import Handler
from worker.reporting import log, progress

Fault = Literal["none", "fork", "exec", "thread", "write"]
LATE_SECONDS = 0.05


class Number(Params):
    number: int
    fault: Fault = "none"


CROSS = JobType(
    name="cross",
    summary="",
    params=Number,
    result=int,
    example={"number": 1},
    timeout=30,
    max_attempts=5,
    backoff=Backoff(first=0.05),
)


async def cross(params: Number, job: JobContext) -> int:
    return await job.in_process(compute, params.number, params.fault)


def compute(number: int, fault: Fault) -> int:
    """Return the number, which is reported and logged as well."""
    progress(0.5, str(number))
    log(str(number))
    if fault in ("fork", "exec") and os.fork() == 0:
        log("fork")
        if fault == "exec":
            os.execvp("/no/such/program", ["program"])  # noqa: S606
        return -1
    if fault == "thread":
        threading.Thread(target=_report_late, args=(number,), daemon=True).start()
    if fault == "write":
        for descriptor in range(3, 100):
            with contextlib.suppress(OSError):
                os.write(descriptor, b"\3" * 64)
    return number


def _report_late(number: int) -> None:
    """Report and log without end, as if the call still ran."""
    while True:
        time.sleep(LATE_SECONDS)
        progress(0.9, f"late {number}")
        log(f"late {number}")


HANDLER = Handler(CROSS, cross)
