"""ServedQueues: which queues live workers serve."""

import time

from shared.store.job_queue import JobQueue

KNOWN_SECONDS = 1.0  # for which an answer is kept


class ServedQueues:
    """Tells whether a live worker serves a queue, as it was a second ago at most.

    Args:
        queue: reads the workers.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._served: set[str] = set()
        self._read_at = -KNOWN_SECONDS

    async def serves(self, name: str) -> bool:
        """Whether a live worker serves the queue. Raises QueueUnavailable."""
        if time.monotonic() - self._read_at >= KNOWN_SECONDS:
            workers = await self._queue.workers()
            self._served = {served for worker in workers for served in worker.queues}
            self._read_at = time.monotonic()
        return name in self._served
