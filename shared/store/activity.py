"""Activity: the jobs that have changed since the last look, the newest of them if there are many."""

from typing import NamedTuple

from shared.record import SUMMARY
from shared.store import scripts
from shared.store.job_queue import JobQueue
from shared.store.redis_calls import RedisCalls
from shared.store.retention import Retention
from shared.stored_record import StoredRecord

MOST_JOBS = 50  # of a look: created, ended in each state, and running


class Changed(NamedTuple):
    """The changes since the last look: records without their payload, and the number of jobs left out."""

    records: list[StoredRecord]
    missed: int


class Activity:
    """Looks at jobs that were created, have ended, or run, again and again.

    A look costs Redis about 1 ms, however many jobs change meanwhile. So nothing needs to be announced.

    Args:
        redis: sends commands.
        queue: reads the records.
        retention: how long ended jobs are kept, by which their indexes are sorted.
    """

    def __init__(self, redis: RedisCalls, queue: JobQueue, retention: Retention) -> None:
        self._redis = redis
        self._queue = queue
        self._retention = retention
        self._seen_at: int | None = None
        self._running: dict[str, int] = {}
        self._found: dict[str, int] = {}  # by the last look, with their versions

    async def look(self) -> Changed:
        """The jobs that have changed since the look before, and at first the running ones."""
        since = self._seen_at if self._seen_at is not None else await self._redis.now()
        now, total, found, words = await self._redis.run(scripts.ACTIVITY, since, MOST_JOBS, *self._retention)
        running = {
            job_id.decode(): int(version) for job_id, version in zip(words[::2], words[1::2], strict=True)
        }
        ids = dict.fromkeys(job_id.decode() for job_id in found)
        ids |= dict.fromkeys(
            job_id for job_id, version in running.items() if self._running.get(job_id) != version
        )
        ids |= dict.fromkeys(job_id for job_id in self._running if job_id not in running)
        records = [record for record in await self._queue.several([*ids], SUMMARY) if record.fields]
        before, self._found = self._found, {record.job_id: record.version for record in records}
        records = [record for record in records if before.get(record.job_id) != record.version]
        self._seen_at, self._running = int(now), running
        return Changed(records, total - len(found))
