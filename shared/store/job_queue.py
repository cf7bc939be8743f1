"""JobQueue: what the API does with jobs."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from math import ceil
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
from arq.jobs import serialize_job

from shared.errors import BacklogFull, JobNotFinished, QueueFull
from shared.ids import new_job_id
from shared.job_type import JobType
from shared.record import Outlook, StoredRecord
from shared.store.client import Argument
from shared.store.job_store import JobStore
from shared.store.model import CancelResult, Cursor, Entry, Filters, JobQuota, Page, Submitted
from shared.store.redis_calls import milliseconds
from shared.yielding import in_parts

RATE_SECONDS = 60.0  # the time that the rate of ended jobs is taken over
RATE_KEPT_SECONDS = 1.0
ROOM = 0.05  # the share of a full queue that should have drained before another try
LONGEST_RETRY_AFTER = 60
PAGES_AT_ONCE = 10


class NewJob(NamedTuple):
    """A job that a caller wants done.

    Attributes:
        contract: its type.
        params: validated params as the handler gets them, JSON.
        params_shown: the params as clients see them, if that form differs.
        request_id: the request that brought it; it follows the job into the worker's logs.
        caller: the name of the API key that was shown, if any.
        idempotency_key: two submissions of a caller with the same key make one job.
        labels: names and values that lists can be filtered by.
        run_at: the earliest time for it to start.
        delay_seconds: the same, counted from now.
        start_within_seconds: it fails unless it starts within this time of being due.
        retry_of: the finished job that it repeats.
        webhook: the address to be told of its end.
        files: ids of the uploaded files that the params name.
    """

    contract: JobType[Any, Any]
    params: bytes
    request_id: str
    caller: str | None = None
    idempotency_key: str | None = None
    labels: Mapping[str, str] = MappingProxyType({})
    run_at: datetime | None = None
    delay_seconds: float | None = None
    start_within_seconds: float | None = None
    retry_of: str | None = None
    webhook: str | None = None
    files: Sequence[str] = ()
    params_shown: bytes = b""


class JobQueue:
    """Submits, reads, lists and cancels jobs.

    Args:
        store: where they are kept.
        max_waiting: jobs that may wait in one queue.
    """

    def __init__(self, store: JobStore, *, max_waiting: int) -> None:
        self.store = store
        self._max_waiting = max_waiting
        self._rate = 0.0
        self._rate_until = 0.0

    async def submit(self, job: NewJob, quota: JobQuota | None = None) -> Submitted:
        """Accept a job; it is pending, and safe in Redis, when this returns.

        Raises:
            QueueFull: too many jobs wait.
            BacklogFull, QuotaReached: the caller's quota has no room for it.
            UnknownFile: the job names a file that is not there.
            IdempotencyConflict: the key was used before, for something else.
            JobExpired: the key was used before, for a job whose record has expired.
            QueueUnavailable: Redis can't take it now.
        """
        return (await self._submit([_entry(job)], quota))[0]

    async def submit_all(self, jobs: Sequence[NewJob], quota: JobQuota | None = None) -> list[Submitted]:
        """Accept all of the jobs or none. Raises what `submit` does."""
        return await self._submit([_entry(job) async for job in in_parts(jobs)], quota)

    async def _submit(self, entries: Sequence[Entry], quota: JobQuota | None) -> list[Submitted]:
        try:
            return await self.store.submit(*entries, max_waiting=self._max_waiting, quota=quota)
        except QueueFull as error:
            error.retry_after = await self._seconds_to_drain(ROOM * self._max_waiting)
            raise
        except BacklogFull as error:
            error.retry_after = await self._seconds_to_drain(ROOM * quota.waiting if quota else 1)
            raise

    async def get(self, job_id: str, *, owner: str | None = None) -> StoredRecord:
        """The record of a job; of the owner's own job alone, if an owner is given.

        Raises JobNotFound, QueueUnavailable.
        """
        return await self.store.get(job_id, owner=owner)

    async def outlook(self, record: StoredRecord) -> Outlook:
        """What a job that waits for a worker, and so has a `place`, may expect."""
        rate = await self._ended_per_second()
        return Outlook(record.position, round(record.position / rate, 1) if rate else None)

    async def page(
        self, filters: Filters, *, limit: int, after: Cursor | None, payload: Collection[str] = ()
    ) -> Page:
        """Jobs, newest first. A page may be short, even empty, although more follow: go on with `next`."""
        page = await self.store.page(filters, limit=limit, after=after, payload=payload)
        for _ in range(PAGES_AT_ONCE - 1):
            if page.records or page.next is None:
                break
            page = await self.store.page(filters, limit=limit, after=page.next, payload=payload)
        return page

    async def finished(self, job_id: str, *, owner: str | None = None) -> StoredRecord:
        """The record of a job that has ended. Raises JobNotFinished, and what `get` does."""
        record = await self.get(job_id, owner=owner)
        if not record.done:
            raise JobNotFinished(f"The job is {record.state}.")
        return record

    async def cancel(
        self, job_id: str, versions: Iterable[int] | None = None, *, owner: str | None = None
    ) -> tuple[CancelResult, StoredRecord]:
        """Cancel the job, or ask its worker to, if its record has one of these versions; None for any.

        Raises JobNotFound, QueueUnavailable.
        """
        return await self.store.cancel(job_id, versions, owner=owner)

    async def _seconds_to_drain(self, jobs: float) -> int:
        rate = await self._ended_per_second()
        return min(max(ceil(jobs / rate), 1), LONGEST_RETRY_AFTER) if rate else LONGEST_RETRY_AFTER

    async def _ended_per_second(self) -> float:
        """How many jobs end in a second, lately; looked up once a second at most."""
        if time.monotonic() > self._rate_until:
            self._rate_until = time.monotonic() + RATE_KEPT_SECONDS
            self._rate = await self.store.ended_lately(RATE_SECONDS) / RATE_SECONDS
        return self._rate


def _entry(job: NewJob) -> Entry:
    job_id, contract = new_job_id(), job.contract
    message = serialize_job(
        contract.name, (job_id,), {}, None, time.time_ns() // 1_000_000, serializer=orjson.dumps
    )
    fields: dict[str, Argument] = {
        "type": contract.name,
        "params": job.params,
        "max_attempts": contract.max_attempts,
        "request_id": job.request_id,
    }
    if job.params_shown:
        fields["params_shown"] = job.params_shown
    if job.labels:
        fields["labels"] = orjson.dumps(job.labels)
    if job.caller:
        fields["caller"] = job.caller
    if job.retry_of:
        fields["retry_of"] = job.retry_of
    if job.webhook:
        fields["webhook"] = job.webhook
    if job.files:
        fields["files"] = " ".join(job.files)
    return Entry(
        job_id,
        contract.queue,
        message,
        fields,
        due=milliseconds(job.run_at.timestamp()) if job.run_at else 0,
        delay=milliseconds(job.delay_seconds or 0),
        start_within=_start_within(job),
        idempotency_key=f"{job.caller or '-'}:{job.idempotency_key}" if job.idempotency_key else "",
        digest=_digest(job) if job.idempotency_key else "",
        files=job.files,
    )


def _start_within(job: NewJob) -> int:
    """The time to start in milliseconds; 0 for any time, so that the shortest one is 1."""
    return max(milliseconds(job.start_within_seconds), 1) if job.start_within_seconds else 0


def _digest(job: NewJob) -> str:
    """Of what the job is to do, and not of how the request spelled it."""
    asked = [job.contract.name, job.params.decode(), dict(job.labels), job.run_at, job.delay_seconds]
    asked += [job.start_within_seconds, job.retry_of]
    asked += [job.webhook] if job.webhook else []  # without one, as releases before digested it
    return sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
