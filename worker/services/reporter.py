"""Reporter: writes the progress, log lines, output and late starts of running jobs."""

import asyncio
import random

from shared.errors import QueueUnavailable
from shared.store.job_leases import AttemptReport, JobLeases
from worker.lane_pair import LanePair

REPORT_SECONDS = 0.05


class Reporter:
    """Writes the reports of all jobs together, twenty times a second at most.

    Reports are sent until Redis has answered; the last ones of an attempt go out with its outcome.

    Args:
        due: set when a job has something to report.
    """

    def __init__(self, lanes: LanePair, job_leases: JobLeases, due: asyncio.Event) -> None:
        self._lanes = lanes
        self._job_leases = job_leases
        self._due = due

    async def run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            unsent = [pair for lane in self._lanes for pair in lane.jobs.pending_reports()]
            reports = [
                AttemptReport(job.claim, report.progress, report.lines, job.held_until, report.output)
                for job, report in unsent
            ]
            try:
                worker_id = self._lanes.jobs.worker_id
                self._lanes.cancel(await self._job_leases.report(reports, worker_id=worker_id))
            except QueueUnavailable:
                self._due.set()
                await asyncio.sleep(random.uniform(0.2, 0.5))
            else:
                for job, report in unsent:
                    job.context.acknowledge(report)
            await asyncio.sleep(REPORT_SECONDS)
