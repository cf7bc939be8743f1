"""JobQueue: the API's half of the store, which submits, reads, lists and cancels jobs."""

from collections.abc import Collection, Iterable, Sequence
from secrets import token_hex
from typing import NamedTuple

from shared.errors import BacklogFull, JobNotFinished, QueueFull
from shared.record import SUMMARY, TERMINAL_STATES, JobState
from shared.store import job_list, redis_keys, scripts
from shared.store.cancel_results import BulkCancelResult, CancelResult
from shared.store.client import Argument, Runner
from shared.store.job_list import Cursor, Filters, Page
from shared.store.job_output import JobOutput, read_output
from shared.store.large_batch import reply_to
from shared.store.missing_jobs import expired, not_found
from shared.store.missing_shards import MissingShards
from shared.store.moves import moves_of
from shared.store.placement import Placement
from shared.store.queue_metrics import QueueMetrics
from shared.store.record_reader import RecordReader
from shared.store.redis_calls import RedisCalls, as_dict
from shared.store.retention import Retention
from shared.store.submission import LARGE, JobQuota, NewJob, Submitted, accepted, refusal
from shared.store.throughput import Throughput
from shared.store.workers import LiveWorker, RunningJob, live_workers, running_jobs
from shared.stored_record import StoredRecord, WaitEstimate
from shared.yielding import in_parts

DELIVERIES_SHOWN = 20
NEGLECTED = -2  # in place of a queue position: a worker should have moved the job
ROOM = 0.05  # the share of a full queue that should be free before another try
PAGES_AT_ONCE = 15
CANCELLED_AT_ONCE = 25  # jobs, 1 ms; Redis does nothing else meanwhile


class JobLog(NamedTuple):
    """Lines of a job's log: the number of all written lines, and the requested ones, each a JSON object.

    A line has its number `seq`, the record's `version` that came with it, `at` in milliseconds since the
    epoch, and the `attempt`, `message` and `fields` that the worker gave it.
    """

    total: int
    lines: list[bytes]


class QueueCounts(NamedTuple):
    """The jobs of one queue."""

    waiting: int
    running: int


class JobQueue:
    """Submits, reads, lists and cancels jobs.

    Args:
        runner: sends commands; a client, or a `Multiplexer`, which is faster.
        retention: how long finished jobs are kept.
        max_waiting: jobs that may wait in one queue.
        bulk: sends the commands whose replies are large, over another connection, so that the replies on
            `runner` do not wait behind them.
        metrics: counts submissions and moves; None without metrics.
        placement: chooses the shard of new jobs; None without shards.

    Attributes:
        missing: the shards that do not answer.

    Every method may be repeated when its reply was lost. Besides its own errors, each raises
    QueueUnavailable while Redis can't serve it. With an `owner`, a job of another caller counts as missing.
    """

    def __init__(
        self,
        runner: Runner,
        retention: Retention,
        *,
        max_waiting: int,
        bulk: Runner | None = None,
        metrics: QueueMetrics | None = None,
        placement: Placement | None = None,
    ) -> None:
        self._redis = RedisCalls(runner)
        self._bulk = RedisCalls(bulk or runner)
        self._records = RecordReader(self._bulk)
        self._retention = retention
        self._max_waiting = max_waiting
        self._metrics = metrics
        self._placement = placement
        self.missing = placement.missing if placement else MissingShards()
        self._throughput = Throughput(self._redis, retention)

    # -- submitting

    async def submit(self, job: NewJob, quota: JobQuota | None = None) -> Submitted:
        """Accept a job; it is pending, and safe in Redis, when this returns.

        Args:
            quota: the bounds of its caller's jobs, if there are any.

        Raises:
            QueueFull: too many jobs wait.
            BacklogFull, QuotaReached: the caller's quota has no room for it.
            UnknownFile: the job names a file that is not there.
            IdempotencyConflict: the idempotency key was used before, for another request.
            JobExpired: the idempotency key was used before, for a job whose record has expired.
        """
        return (await self._submit([job], quota))[0]

    async def submit_all(self, jobs: Sequence[NewJob], quota: JobQuota | None = None) -> list[Submitted]:
        """Accept all of the jobs or none. Raises the errors of `submit`."""
        return await self._submit(jobs, quota)

    async def _submit(self, jobs: Sequence[NewJob], quota: JobQuota | None) -> list[Submitted]:
        if self._placement is not None:
            self._placement.place(jobs, quota)
        (status, *answer), encoded = await reply_to(self._redis, jobs, quota, self._max_waiting)
        if status != b"done":
            error = refusal(status, answer, quota)
            if isinstance(error, QueueFull):
                error.retry_after = await self._throughput.retry_after(ROOM * self._max_waiting)
            elif isinstance(error, BacklogFull) and quota:
                error.retry_after = await self._throughput.retry_after(ROOM * quota.waiting)
            raise error
        pairs = zip(encoded, answer[0], strict=True)
        submitted = [accepted(job, *found) async for job, found in in_parts(pairs)]
        if self._metrics is not None:
            self._metrics.note_submitted(jobs, submitted)
        return await self._records.completed(submitted)

    # -- reading

    async def get(self, job_id: str, *, owner: str | None = None) -> StoredRecord:
        """The record of a job.

        Raises:
            JobNotFound: no job has the id.
            JobExpired: the record has expired.
        """
        _refuse_delivery(job_id)
        position, *pairs = await self._redis.run(scripts.READ, job_id, owner or "")
        if position == NEGLECTED:
            position, moves, *pairs = await self._redis.run(
                scripts.RESCUE_AND_READ, job_id, *self._retention, owner or ""
            )
            self._note(moves)
        if not pairs:
            raise expired(job_id) if position < 0 else not_found(job_id)
        if pairs[:1] == LARGE:
            record = await self._records.whole(job_id)
            waits = record.state is JobState.PENDING
            paused = as_dict(pairs[1:]) if waits else {}
            record = StoredRecord(job_id, {**record.fields, **paused}, position if waits else 0)
        else:
            record = StoredRecord(job_id, as_dict(pairs), position)
        if owner is not None and record.caller != owner:
            raise not_found(job_id)
        return record

    async def several(self, ids: Sequence[str], fields: Sequence[str]) -> list[StoredRecord]:
        """These fields of several records; no fields of a missing one."""
        return await self._records.several(ids, fields, most_bytes=0)

    async def finished(self, job_id: str, *, owner: str | None = None) -> StoredRecord:
        """The record of a job that has ended. Raises JobNotFinished, and the errors of `get`."""
        record = await self.get(job_id, owner=owner)
        if not record.done:
            raise JobNotFinished(f"The job is {record.state}.")
        return record

    async def version(self, job_id: str, *, owner: str | None = None) -> int | None:
        """Only the record's version, in one HMGET; None without a record.

        Raises:
            JobNotFound: the id is that of a webhook's delivery.
        """
        _refuse_delivery(job_id)
        key = redis_keys.RECORD + job_id
        version, state, caller = await self._redis.command("HMGET", key, "version", "state", "caller")
        if owner is not None and caller != owner.encode():
            return None
        return int(version) if state else None  # without a state the job is prepared

    async def estimate_wait(self, record: StoredRecord) -> WaitEstimate:
        """Estimate the wait of a job that has a queue position."""
        rate = await self._throughput.jobs_per_second()
        seconds = round(record.position / rate, 1) if rate else None
        return WaitEstimate(record.position, seconds, self._placement is not None)

    async def logs(self, job_id: str, *, after: int = 0, owner: str | None = None) -> JobLog:
        """The lines of a job's log that are kept, beyond the `after`-th. Raises the errors of `get`."""
        _refuse_delivery(job_id)
        total, *lines = await self._bulk.run(scripts.LOGS, job_id, after, owner or "")
        if total < 0:
            raise expired(job_id) if total == -1 else not_found(job_id)
        return JobLog(total, lines)

    async def output(
        self, job_id: str, *, claim: int = 0, after: int = 0, owner: str | None = None
    ) -> JobOutput:
        """The next chunks of a job's output, as `read_output` does. Raises the errors of `get`."""
        _refuse_delivery(job_id)
        return await read_output(self._bulk, job_id, claim, after, owner)

    async def page(
        self, filters: Filters, *, limit: int, after: Cursor | None, payload: Collection[str] | None = ()
    ) -> Page:
        """A page of jobs, newest first: by creation, or those in one terminal state by their end.

        Args:
            limit: records at most. A page may be short, even empty, although more follow, where filters
                match few, or records are large: go on with its `next`.
            after: the cursor of the page before; None for the first page.
            payload: the fields of PAYLOAD that the records have; None for ids and states alone.
        """
        with self.missing.noted() as missing:
            for _ in range(PAGES_AT_ONCE):
                words = job_list.words_of(filters, limit, after, payload)
                score, last, *found = await self._bulk.run(scripts.LIST, *words)
                page = job_list.page_of(filters, score, last, found)
                after = page.next
                if page.records or after is None:
                    break
        return page._replace(incomplete=bool(missing))

    # -- cancelling

    async def cancel(
        self, job_id: str, versions: Iterable[int] | None = None, *, owner: str | None = None
    ) -> tuple[CancelResult, StoredRecord]:
        """Cancel a waiting job, or ask the worker of a running one to stop.

        Args:
            job_id: the job.
            versions: the versions of the record at which the job may be cancelled; None for any. At another
                version the returned record has nothing but its version.

        Raises:
            JobNotFound: no job has the id.
            JobExpired: the record has expired.
        """
        _refuse_delivery(job_id)
        condition = "" if versions is None else f" {' '.join(map(str, versions))} "
        words: list[Argument] = [job_id, *self._retention, owner or "", condition]
        word, moves, *pairs = await self._redis.run(scripts.CANCEL, *words)
        self._note(moves)
        if word == b"missing":
            raise not_found(job_id)
        if word == b"expired":
            raise expired(job_id)
        result = CancelResult(word.decode())
        if pairs == LARGE:
            return result, await self._records.whole(job_id)
        return result, StoredRecord(job_id, as_dict(pairs))

    async def cancel_all(self, ids: Sequence[str], state: JobState | None = None) -> list[BulkCancelResult]:
        """Cancel several jobs, CANCELLED_AT_ONCE at most, those in this state alone; the result of each."""
        words, moves = await self._redis.run(scripts.CANCEL_ALL, *self._retention, state or "", *ids)
        self._note(moves)
        return [BulkCancelResult(word.decode()) for word in words]

    async def forget(self, job_id: str, *, owner: str | None = None) -> None:
        """Forget a finished job: its record, log, output and deliveries; its id counts as expired.

        Raises:
            JobNotFinished: the job still waits or runs.
            JobNotFound: no job has the id.
            JobExpired: the record has expired, or was forgotten before.
        """
        _refuse_delivery(job_id)
        result = await self._redis.run(scripts.FORGET, job_id, owner or "")
        if result == b"alive":
            raise JobNotFinished("The job has not finished.")
        if result != b"forgotten":
            raise expired(job_id) if result == b"expired" else not_found(job_id)

    def _note(self, moves: Sequence[bytes]) -> None:
        if self._metrics is not None:
            self._metrics.note_moves(moves_of(moves))

    # -- webhooks

    async def deliveries(self, record: StoredRecord) -> list[StoredRecord]:
        """The deliveries of a job's webhook, oldest first, as far as they are kept, without their params."""
        last = int(record.fields.get(b"deliveries", 0))
        numbers = range(max(last - DELIVERIES_SHOWN, 0) + 1, last + 1)
        ids = [f"{redis_keys.DELIVERY_ID}{number}-{record.job_id}" for number in numbers]
        found = await self._records.several(ids, [*SUMMARY, "result"], most_bytes=0)
        return [delivery for delivery in found if delivery.fields]

    async def redeliver(self, job_id: str, *, owner: str | None = None) -> int:
        """Send the webhook of a finished job again; returns the delivery's number, 0 if it has no webhook.

        Raises:
            JobNotFinished: the job still waits or runs.
            JobNotFound: no job has the id.
            JobExpired: the record has expired.
        """
        number: int = await self._redis.run(scripts.REDELIVER, job_id, owner or "")
        if number == -1:
            raise JobNotFinished("The job has not finished.")
        if number < 0:
            raise expired(job_id) if number == -2 else not_found(job_id)
        return number

    # -- the server's state

    async def ping(self) -> None:
        await self._redis.command("PING")

    async def probe(self) -> list[str]:
        """Try to write; returns the rights that this user of Redis lacks, in Redis' words."""
        return [right.decode() for right in await self._redis.run(scripts.PROBE, f"probe:{token_hex(6)}")]

    async def workers(self) -> list[LiveWorker]:
        return await live_workers(self._redis)

    async def running_jobs(self) -> list[RunningJob]:
        return await running_jobs(self._redis)

    async def queue_counts(self, queue: str) -> QueueCounts:
        waiting = await self._redis.command("ZCARD", redis_keys.QUEUE + queue)
        running = await self._redis.command("ZCARD", redis_keys.LEASES + queue)
        return QueueCounts(waiting, running)

    async def state_counts(self) -> dict[JobState, int]:
        """The number of jobs in each state, as far as their records are kept."""
        counts = dict.fromkeys(JobState, 0)
        for queue in await self._redis.command("SMEMBERS", redis_keys.QUEUES):
            waiting, running = await self.queue_counts(queue.decode())
            counts[JobState.PENDING] += waiting
            counts[JobState.RUNNING] += running
        now = await self._redis.now()
        for state in TERMINAL_STATES:  # an index holds its jobs for a while beyond their expiry
            counts[state] = await self._redis.command("ZCOUNT", redis_keys.INDEX_OF + state, now, "+inf")
        return counts


def _refuse_delivery(job_id: str) -> None:
    """Raise JobNotFound for the id of a webhook's delivery, a job that no client has submitted."""
    if job_id.startswith(redis_keys.DELIVERY_ID):
        raise not_found(job_id)
