"""Submissions of any size: large batches are prepared in parts, then accepted by one script as a whole.

Redis does nothing else while a script runs. So the script `prepare` writes what no reader sees, for
MAX_AT_ONCE jobs at a time, and `commit` does for all of them only what must happen at once. The upkeep
removes a batch that is not committed.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from secrets import token_hex
from typing import Any, NamedTuple

from shared.store import scripts
from shared.store.client import Argument
from shared.store.redis_calls import RedisCalls
from shared.store.rows import CommitRow, GroupRow, PrepareRow
from shared.store.submission import EncodedJob, JobQuota, NewJob, encode, quota_word, words_of
from shared.yielding import in_parts

MAX_AT_ONCE = 100  # jobs; a script takes about 2 ms for them
BUSY_PAUSE, BUSY_TRIES = 0.1, 20  # seconds, and tries, while another request uses the idempotency key
PATIENCE_MS = 30_000  # between two parts of a batch; over a slow link a part takes its time

Group = tuple[str, int, int, int]
"""Queue, due, delay and start_within of jobs, as in a SubmissionRow."""


class BatchReply(NamedTuple):
    """The reply to a batch: the words of a reply to `submit`, and the jobs as they were sent."""

    words: Sequence[Any]
    jobs: list[EncodedJob]


class LargeBatch:
    """A batch on its way into the store.

    Args:
        redis: sends the scripts.
        jobs: all jobs of the batch.
        quota: the bounds of its caller's jobs, if there are any.
        max_waiting: jobs that may wait in one queue.
    """

    def __init__(
        self, redis: RedisCalls, jobs: Sequence[NewJob], quota: JobQuota | None, max_waiting: int
    ) -> None:
        self._redis = redis
        self._jobs = jobs
        self._quota = quota_word(quota)
        self._max_waiting = max_waiting
        self._batch, self._created_at = token_hex(8), 0
        self._prepared: Counter[str] = Counter()  # jobs of each queue
        self._coming = Counter(job.job_type.queue for job in jobs if not job.idempotency_key)  # surely new

    async def submit(self) -> BatchReply:
        """Accept all jobs, or none. Raises QueueUnavailable."""
        jobs: list[EncodedJob] = []
        answers: list[Any] = []
        self._created_at = await self._redis.now()
        for start in range(0, len(self._jobs), MAX_AT_ONCE):
            part = await self._encode(self._jobs[start : start + MAX_AT_ONCE])
            jobs += part
            status, *words = await self._redis.run(scripts.PREPARE, *self._head(), *words_of(part))
            if status != b"prepared":
                return BatchReply([status, *words], jobs)
            answers += words[0]
            self._prepared.update(
                job.row.queue for job, answer in zip(part, words[0], strict=True) if answer is None
            )
        return BatchReply(await self._commit(jobs, answers), jobs)

    async def _encode(self, jobs: Sequence[NewJob]) -> list[EncodedJob]:
        self._coming.subtract(job.job_type.queue for job in jobs if not job.idempotency_key)
        return [encode(job, self._room(job.job_type.queue)) async for job in in_parts(jobs)]

    def _room(self, queue: str) -> int:
        """Jobs that may wait in the queue beside those of the other parts."""
        return self._max_waiting - self._prepared[queue] - self._coming[queue]

    def _head(self) -> PrepareRow:
        prepared = self._prepared.total()
        others = prepared + self._coming.total()
        return PrepareRow(self._batch, self._created_at, PATIENCE_MS, prepared, others, self._quota)

    async def _commit(self, jobs: Sequence[EncodedJob], answers: list[Any]) -> Sequence[Any]:
        groups: dict[Group, list[int]] = {}
        for place, answer in enumerate(answers):
            if answer is None:
                row = jobs[place].row
                groups.setdefault((row.queue, row.due, row.delay, row.start_within), []).append(place)
        if not groups:
            return [b"done", answers]
        words: list[Argument] = [
            *CommitRow(self._batch, self._created_at, self._prepared.total(), self._quota, self._max_waiting)
        ]
        for group, places in groups.items():
            words += GroupRow(*group, len(places))
            words += [jobs[place].row.job_id for place in places]
        status, *found = await self._redis.run(scripts.COMMIT, *words)
        if status != b"done":
            return [status, *found]
        for places, answer in zip(groups.values(), found[0], strict=True):
            for place in places:
                answers[place] = answer
        return [status, answers]


async def reply_to(
    redis: RedisCalls, jobs: Sequence[NewJob], quota: JobQuota | None, max_waiting: int
) -> BatchReply:
    """The reply to a submission, once no other request is under way with one of its idempotency keys."""
    tries_left = BUSY_TRIES
    while True:
        if len(jobs) > MAX_AT_ONCE:
            reply = await LargeBatch(redis, jobs, quota, max_waiting).submit()
        else:
            encoded = [encode(job, max_waiting) async for job in in_parts(jobs)]
            words = await redis.run(scripts.SUBMIT, quota_word(quota), *words_of(encoded))
            reply = BatchReply(words, encoded)
        tries_left -= 1
        if reply.words[0] != b"busy" or not tries_left:
            return reply
        await asyncio.sleep(random.uniform(0.5, 1.0) * BUSY_PAUSE)
