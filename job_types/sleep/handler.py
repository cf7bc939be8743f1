"""Handler of the job type `sleep`."""

import asyncio
import time

from job_types.sleep.contract import SLEEP, SleepParams, SleepResult
from worker.context import JobContext
from worker.registry import handles

REPORTS = 20


@handles(SLEEP)
async def sleep(params: SleepParams, job: JobContext) -> SleepResult:
    """Sleep in equal naps, with a report of progress after each."""
    started = time.monotonic()
    naps = REPORTS if params.seconds >= 1 else 1
    for nap in range(1, naps + 1):
        await asyncio.sleep(started + params.seconds * nap / naps - time.monotonic())
        job.progress(nap / naps, f"slept {params.seconds * nap / naps:g} of {params.seconds:g} s")
    return SleepResult(slept=params.seconds)
