"""Recycler: the planned end of a worker, so that its supervisor starts a new one."""

import asyncio
import random
from collections.abc import Callable

from worker.memory import resident_bytes
from worker.running_jobs import RunningJobs

LOOK_SECONDS = 1.0
SPREAD = 0.1  # of a limit: workers that start together do not end together
LEAST_ROOM = 1.25  # times the memory at start, else a new worker would soon be above the limit too


class Recycler:
    """Ends the worker once enough jobs have ended, or once its memory has grown too large.

    Jobs count when they end, not when they start, and memory counts after the first job. So each life of a
    worker gets at least one job done, however low the limits are.

    Args:
        jobs: the attempts of the lane of jobs.
        max_jobs: ended jobs, at most; 0: no limit.
        max_rss: resident bytes of this process, without its children; 0: no limit.
        on_due: called with the reason, perhaps several times.
    """

    def __init__(
        self, jobs: RunningJobs, *, max_jobs: int, max_rss: int, on_due: Callable[[str], None]
    ) -> None:
        share = 1 - random.uniform(0, SPREAD)
        self._jobs = jobs
        self._max_jobs = max(1, round(max_jobs * share))
        self._max_rss = int(max_rss * share)
        self._on_due = on_due

    def check_jobs(self) -> None:
        """End the worker if enough jobs have ended."""
        ended = self._jobs.ended + sum(other.ended for other in self._jobs.others)
        if ended >= self._max_jobs:
            self._on_due(f"{ended} jobs have ended (WORKER_MAX_JOBS)")

    async def run(self) -> None:
        """Look at the memory once a second."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.check_memory()

    def check_memory(self) -> None:
        """End the worker if its memory has grown too large."""
        resident = resident_bytes()
        if resident > self._max_rss and self._jobs.ended:
            self._on_due(f"the worker has {resident} bytes of resident memory (WORKER_MAX_RSS_BYTES)")


def fault_of_max_rss(max_rss: int) -> str | None:
    """The fault of a limit that a worker exceeds before its first job, or soon after; None if it has none."""
    least = int(resident_bytes() * LEAST_ROOM)
    if not max_rss or max_rss >= least:
        return None
    return f"a worker has {resident_bytes()} bytes before its first job; set {least} or more, or 0"
