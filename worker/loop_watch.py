"""The watch over the worker's event loop: which job blocks it."""

import time
from collections.abc import Sequence

from shared.logging import get_log
from worker.slots import Slots

WATCH_SECONDS = 0.5
BLOCKED_SECONDS = 1.0

log = get_log(__name__)


class LoopWatch:
    """Logs a blocked event loop, once each time; `look` is called from a thread."""

    def __init__(self, slots: Sequence[Slots]) -> None:
        self._slots = slots
        self._blocked = False

    def look(self) -> None:
        late = time.monotonic() - self._slots[0].ticked_at
        if late > BLOCKED_SECONDS and not self._blocked:
            jobs = [claim.job_id for slots in self._slots if (claim := slots.blocking_job())]
            job_id = jobs[0] if jobs else None
            log.warning("the event loop is blocked", seconds=round(late, 1), job_id=job_id)
        self._blocked = late > BLOCKED_SECONDS
