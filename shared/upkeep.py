"""Upkeep: what no request and no step may come to do, done now and then by every process."""

import asyncio
import random
from collections.abc import Sequence

from shared.errors import QueueUnavailable
from shared.logging import get_log
from shared.store.job_store import JobStore

RETRY_SECONDS = 0.5  # after a try that Redis did not answer
LONGEST_PAUSE = 1.0  # of a process that does not know how long a lease of the next worker will hold

log = get_log(__name__)


async def keep_up(store: JobStore, queues: Sequence[str], *, lease: float = 0) -> None:
    """Rescue, expire, prune and repair jobs, at least three times a lease, until cancelled.

    The calls are signs of life as well: a gap between those of all processes tells that Redis was away.

    Args:
        queues: where leases may have run out.
        lease: the caller's own, in seconds; 0 for that of the workers, which may change.
    """
    while True:
        pause = RETRY_SECONDS
        try:
            done = await store.upkeep(queues, lease=lease)
        except QueueUnavailable:
            pass  # requests and steps say so
        except Exception:
            log.exception("the upkeep failed; it is tried again")
        else:
            for job_id in done.rescued:
                log.warning("rescued a job whose worker was lost", job_id=job_id)
            for job_id, wrong in done.repaired.items():
                log.error("repaired a job that was lost", job_id=job_id, wrong=wrong)
            pause = lease / 3 or min(done.lease / 3, LONGEST_PAUSE)
        await asyncio.sleep(pause * random.uniform(0.8, 1.0))
