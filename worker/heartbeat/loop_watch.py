"""LoopWatch: warns of a job that blocks the worker's event loop."""

import time
from collections.abc import Sequence

from shared.logging import get_log
from worker.running_jobs import RunningJobs

WATCH_SECONDS = 0.5
BLOCKED_SECONDS = 1.0

log = get_log(__name__)


class LoopWatch:
    """Logs a blocked event loop, once each time; `look` is called from a thread."""

    def __init__(self, lanes: Sequence[RunningJobs]) -> None:
        self._lanes = lanes
        self._blocked = False

    def look(self) -> None:
        late = time.monotonic() - self._lanes[0].ticked_at
        if late > BLOCKED_SECONDS and not self._blocked:
            jobs = [claim.job_id for running in self._lanes if (claim := running.blocking_job())]
            job_id = jobs[0] if jobs else None
            log.warning("the event loop is blocked", seconds=round(late, 1), job_id=job_id)
        self._blocked = late > BLOCKED_SECONDS
