"""The store: every move in a job's life as one typed call."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from secrets import token_hex
from typing import Any

from shared.errors import (
    BacklogFull,
    IdempotencyConflict,
    JobExpired,
    JobNotFinished,
    JobNotFound,
    JobServerError,
    QueueFull,
    QuotaReached,
)
from shared.record import SUMMARY, TERMINAL_STATES, JobState, StoredRecord
from shared.store import redis_keys, scripts
from shared.store.client import Argument, Runner
from shared.store.file_records import unknown_file
from shared.store.model import (
    AttemptReport,
    CancelResult,
    Claim,
    Cursor,
    Entry,
    Filters,
    Finished,
    JobQuota,
    Lease,
    Log,
    Page,
    QueueCounts,
    Retention,
    Step,
    Submitted,
    Upkeep,
    WorkerInfo,
)
from shared.store.redis_calls import RedisCalls, as_dict, milliseconds

IDEMPOTENCY_SECONDS = 86400
DELIVERIES_SHOWN = 20
SCANNED_AT_ONCE = 1000  # entries of an index; Redis does nothing else meanwhile
LARGEST_PAGE_BYTES = 4 * 1024 * 1024  # of the JSON of several records
NEGLECTED = -2  # in place of a queue position: a worker should have moved the job
LARGE = [b"large"]  # in place of a record's fields and values
STORED_PAYLOAD = {"params": ("params", "params_shown"), "result": ("result",)}
SHOWN_OF_ID = 28  # characters: all but the bytes of chance and shard, so that ids stay in their order
"""Of the id in the cursor of one caller's list: the job may be another caller's, and its id stays hidden."""


class JobStore:
    """The records, queues and leases in Redis.

    Args:
        runner: sends commands; a client, or a `Multiplexer`, which is faster.
        retention: how long finished jobs are kept.
        bulk: sends the commands whose replies are large, over another connection: those on `runner` need not
            wait until such a reply has come.

    Every method may be repeated when its reply was lost. Besides what is named, each raises
    QueueUnavailable while Redis can't serve it.
    """

    def __init__(self, runner: Runner, retention: Retention, *, bulk: Runner | None = None) -> None:
        self._calls = RedisCalls(runner)
        self._bulk = RedisCalls(bulk or runner)
        self._retention = retention
        self._kept = (retention.completed, retention.failed, retention.cancelled)

    async def submit(
        self, *entries: Entry, max_waiting: int, quota: JobQuota | None = None
    ) -> list[Submitted]:
        """Accept jobs, all of them or none.

        Args:
            max_waiting: jobs that may wait in each queue.
            quota: the bounds of their caller's jobs, if there are any.

        Raises:
            QueueFull: a queue has no room for all of them.
            BacklogFull, QuotaReached: the caller's quota has none.
            UnknownFile: a job names a file that is not there.
            IdempotencyConflict: an idempotency key was used before, for something else.
            JobExpired: an idempotency key was used before, for a job whose record has expired.
        """
        words: list[Argument] = [" ".join(map(str, quota)) if quota else ""]
        for entry in entries:
            words += (entry.job_id, entry.queue, entry.due, entry.delay, entry.start_within, max_waiting)
            words += (entry.idempotency_key and redis_keys.IDEMPOTENCY + entry.idempotency_key, entry.digest)
            words += (IDEMPOTENCY_SECONDS, " ".join(entry.files), entry.message, 2 * len(entry.fields))
            for pair in entry.fields.items():
                words += pair
        verdict, *answer = await self._calls.run(scripts.SUBMIT, *words)
        if verdict == b"full":
            queue, waiting = answer
            raise QueueFull(f"The queue {queue.decode()!r} is full; waiting jobs: {waiting}.")
        if quota and verdict in (b"backlog", b"kept"):
            raise _over(quota, verdict, *map(int, answer))
        if verdict == b"missing":
            raise unknown_file(answer[0].decode())
        if verdict == b"conflict":
            raise IdempotencyConflict(
                f"This Idempotency-Key was used before, with another request: job {answer[0].decode()}."
            )
        if verdict == b"expired":
            raise spent(answer[0].decode())
        submitted = [_submitted(entry, *found) for entry, found in zip(entries, answer[0], strict=True)]
        return await self._with_large_records(submitted)

    async def get(self, job_id: str, *, owner: str | None = None) -> StoredRecord:
        """The record of a job.

        Args:
            owner: the caller whose jobs alone count; None for those of all callers.

        Raises:
            JobNotFound: there is none.
            JobExpired: there was one, until lately.
        """
        position, *pairs = await self._calls.run(scripts.READ, public(job_id), owner or "")
        if position == NEGLECTED:
            position, *pairs = await self._calls.run(
                scripts.RESCUE_AND_READ, job_id, *self._kept, owner or ""
            )
        if not pairs:
            raise expired(job_id) if position < 0 else not_found(job_id)
        if pairs == LARGE:
            record = await self._large_record(job_id)
            position = position if record.state is JobState.PENDING else 0
            record = StoredRecord(job_id, record.fields, position)
        else:
            record = StoredRecord(job_id, as_dict(pairs), position)
        if owner is not None and record.caller != owner:
            raise not_found(job_id)
        return record

    async def logs(self, job_id: str, *, after: int = 0, owner: str | None = None) -> Log:
        """The lines of a job's log that are kept, beyond the `after`-th. Raises what `get` does."""
        total, *lines = await self._bulk.run(scripts.LOGS, public(job_id), after, owner or "")
        if total < 0:
            raise expired(job_id) if total == -1 else not_found(job_id)
        return Log(total, lines)

    async def version(self, job_id: str, *, owner: str | None = None) -> int | None:
        """The version of a job's record, for less than the record; None if there is none."""
        key = redis_keys.RECORD + public(job_id)
        if owner is None:
            version = await self._calls.command("HGET", key, "version")
        else:
            version, caller = await self._calls.command("HMGET", key, "version", "caller")
            version = version if caller == owner.encode() else None
        return None if version is None else int(version)

    async def ended_lately(self, seconds: float) -> int:
        """How many jobs have ended in the last `seconds`."""
        keep, after = self._retention, await self._now() - milliseconds(seconds)
        counts = [
            self._calls.command("ZCOUNT", redis_keys.INDEX_OF + state, after + milliseconds(kept), "+inf")
            for state, kept in (
                (JobState.COMPLETED, keep.completed),
                (JobState.FAILED, keep.failed),
                (JobState.CANCELLED, keep.cancelled),
            )
        ]
        return sum(await asyncio.gather(*counts))

    async def page(
        self, filters: Filters, *, limit: int, after: Cursor | None, payload: Collection[str] = ()
    ) -> Page:
        """A page of jobs, newest first: by creation, or those in one terminal state by their end.

        Args:
            limit: records at most; there may be fewer although more follow, where filters match few, or
                records are large.
            after: where the page before ended; None for the first one.
            payload: the fields of PAYLOAD that the records have, none unless given.
        """
        labels = [word for pair in filters.labels.items() for word in pair]
        score, last = after or ("", "")
        state = filters.state or ""
        fields = [*SUMMARY, *(field for name in payload for field in STORED_PAYLOAD[name])]
        words: list[Argument] = [state, filters.type, limit, LARGEST_PAGE_BYTES, SCANNED_AT_ONCE, score, last]
        words += [filters.caller, len(fields), *fields, *labels]
        score, last, *found = await self._bulk.run(scripts.LIST, *words)
        records = [StoredRecord(job_id.decode(), as_dict(pairs)) for job_id, *pairs in found]
        if filters.caller:
            last = last[:SHOWN_OF_ID]
        return Page(records, (score.decode(), last.decode()) if last else None)

    async def cancel(
        self, job_id: str, versions: Iterable[int] | None = None, *, owner: str | None = None
    ) -> tuple[CancelResult, StoredRecord]:
        """Cancel a waiting job, or ask the worker of a running one to stop.

        Args:
            job_id: the job.
            versions: of the record, at which the job may be cancelled; None for any. If it has another one,
                the returned record has nothing but its version.
            owner: the caller whose jobs alone count; None for those of all callers.

        Raises:
            JobNotFound: there is none.
            JobExpired: there was one, until lately.
        """
        condition = "" if versions is None else f" {' '.join(map(str, versions))} "
        words: list[Argument] = [public(job_id), *self._kept, owner or "", condition]
        verdict, *pairs = await self._calls.run(scripts.CANCEL, *words)
        if verdict == b"missing":
            raise not_found(job_id)
        if verdict == b"expired":
            raise expired(job_id)
        if pairs == LARGE:
            return CancelResult(verdict.decode()), await self._large_record(job_id)
        return CancelResult(verdict.decode()), StoredRecord(job_id, as_dict(pairs))

    async def deliveries(self, record: StoredRecord) -> list[StoredRecord]:
        """The deliveries of a job's webhook, oldest first, as far as they are kept, without their params."""
        last = int(record.fields.get(b"deliveries", 0))
        numbers = range(max(last - DELIVERIES_SHOWN, 0) + 1, last + 1)
        ids = [f"{redis_keys.DELIVERY_ID}{number}-{record.job_id}" for number in numbers]
        return [
            found for found in await self._records(ids, [*SUMMARY, "result"], most_bytes=0) if found.fields
        ]

    async def redeliver(self, job_id: str, *, owner: str | None = None) -> int:
        """Send the webhook of a finished job again; returns the delivery's number, 0 if it has no webhook.

        Args:
            owner: the caller whose jobs alone count; None for those of all callers.

        Raises:
            JobNotFinished: there is nothing to tell yet.
            JobNotFound: there is none.
            JobExpired: there was one, until lately.
        """
        number: int = await self._calls.run(scripts.REDELIVER, job_id, owner or "")
        if number == -1:
            raise JobNotFinished("The job has not finished.")
        if number < 0:
            raise expired(job_id) if number == -2 else not_found(job_id)
        return number

    async def step(
        self,
        worker_id: str,
        number: int,
        queues: Sequence[str],
        finished: Sequence[Finished],
        *,
        slots: int,
        lease: float,
    ) -> Step:
        """Finish attempts, rescue jobs whose leases ran out, and claim up to `slots` due jobs.

        Args:
            worker_id: who asks.
            number: rises with every step; a repeat carries the same number and gets the same claims.
            queues: where to claim from, in strict order.
            finished: the attempts that have ended since the last step.
            slots: how many jobs the worker can start now.
            lease: seconds for which a claim holds without a heartbeat.
        """
        words: list[Argument] = [worker_id, number, slots, milliseconds(lease)]
        words += [*self._kept, len(queues), *queues]
        for done in finished:
            claim, outcome = done.claim, done.outcome
            words += (claim.queue, claim.job_id, claim.lease)
            words += (
                outcome.kind.value,
                outcome.body,
                outcome.delay,
                done.progress,
                done.lines,
                done.artifacts,
            )
        wait, accepted, rescued, claims = await self._calls.run(scripts.STEP, *words)
        return Step(
            wait=None if wait < 0 else wait / 1000,
            accepted=[verdict == 1 for verdict in accepted],
            rescued=[job_id.decode() for job_id in rescued],
            claims=[_claim(claims[i : i + 8]) for i in range(0, len(claims), 8)],
        )

    async def beat(
        self,
        worker_info: WorkerInfo,
        leases: Iterable[Claim | Lease],
        *,
        running: int,
        lease: float,
        steps: Sequence[tuple[str, int]] = (),
    ) -> tuple[set[str], set[str]]:
        """Renew leases and show that the worker lives.

        Args:
            leases: the leases that the worker knows of.
            running: how many jobs it runs.
            lease: seconds for which a renewal holds.
            steps: worker id and number of the steps under way, whose claims the worker may not know yet.

        Returns:
            The leases that are lost, and those whose jobs were asked to stop.
        """
        words: list[Argument] = [
            worker_info.worker_id,
            milliseconds(lease),
            worker_info.host,
            worker_info.pid,
        ]
        words += [",".join(worker_info.queues), worker_info.slots, running, worker_info.started_at]
        words += [len(steps), *(word for step in steps for word in step)]
        for held in leases:
            words += (held.queue, held.lease)
        lost, cancelled = await self._calls.run(scripts.BEAT, *words)
        return {lease.decode() for lease in lost}, {lease.decode() for lease in cancelled}

    async def upkeep(self, queues: Iterable[str], *, lease: float = 0) -> Upkeep:
        """Do what no request and no step may come to do: rescue, expire, prune and repair jobs.

        Args:
            queues: where leases may have run out.
            lease: the caller's own, in seconds; 0 for that of the workers.
        """
        lease_ms, rescued, repaired = await self._calls.run(
            scripts.UPKEEP, *self._kept, milliseconds(lease), *queues
        )
        words = [word.decode() for word in repaired]
        return Upkeep(
            lease_ms / 1000,
            [job_id.decode() for job_id in rescued],
            dict(zip(words[::2], words[1::2], strict=True)),
        )

    async def report(self, reports: Iterable[AttemptReport]) -> set[str]:
        """Write the news of running attempts; returns ids that were asked to stop."""
        words: list[Argument] = []
        for claim, progress, lines in reports:
            words += (claim.queue, claim.job_id, claim.fencing_token, progress, lines)
        return {job_id.decode() for job_id in await self._calls.run(scripts.REPORT, *words)}

    async def wait_for_wake_up(self, queues: Sequence[str], seconds: float) -> str | None:
        """Wait for a wake-up; returns its queue, or None when the time is over.

        The runner's read timeout must be longer than `seconds`.
        """
        wake_up = await self._calls.command("BLPOP", *(redis_keys.WAKE + queue for queue in queues), seconds)
        return wake_up[0].decode().removeprefix(redis_keys.WAKE) if wake_up else None

    async def return_wake_up(self, queue: str) -> None:
        """Return a wake-up that another worker can make better use of."""
        await self._calls.command("RPUSH", redis_keys.WAKE + queue, "1")

    async def leave(self, worker_id: str, queues: Sequence[str]) -> None:
        """Remove a worker that shuts down."""
        await self._calls.run(scripts.LEAVE, worker_id, *queues)

    async def ping(self) -> None:
        await self._calls.command("PING")

    async def probe(self) -> list[str]:
        """Try to write; returns what this user of Redis is not allowed to do, in Redis' words."""
        return [right.decode() for right in await self._calls.run(scripts.PROBE, f"probe:{token_hex(6)}")]

    async def workers(self) -> list[dict[str, str]]:
        """The live workers, each with its id and what `WorkerInfo` shows, and how many jobs it runs."""
        ids = await self._calls.command("ZRANGE", redis_keys.WORKERS, 0, -1)
        found = []
        for worker_id in ids:
            fields = await self._calls.hash(redis_keys.WORKER + worker_id.decode())
            if b"host" in fields:
                shown = {name.decode(): value.decode() for name, value in fields.items()}
                found.append({"worker_id": worker_id.decode()} | shown)
        return found

    async def queue_counts(self, queue: str) -> QueueCounts:
        waiting = await self._calls.command("ZCARD", redis_keys.QUEUE + queue)
        running = await self._calls.command("ZCARD", redis_keys.LEASES + queue)
        return QueueCounts(waiting, running)

    async def state_counts(self) -> dict[JobState, int]:
        """How many jobs are in each state, as far as their records are kept."""
        counts, now = {}, await self._now()
        for state in JobState:  # those that have ended are indexed by their expiry, and a while beyond it
            oldest = now if state in TERMINAL_STATES else "-inf"
            counts[state] = await self._calls.command("ZCOUNT", redis_keys.INDEX_OF + state, oldest, "+inf")
        return counts

    async def _large_record(self, job_id: str) -> StoredRecord:
        """A record that is too large for the connection that all share. Raises JobExpired."""
        fields = await self._bulk.hash(redis_keys.RECORD + job_id)
        if not fields:
            raise expired(job_id)
        return StoredRecord(job_id, fields)

    async def _with_large_records(self, submitted: list[Submitted]) -> list[Submitted]:
        """The same jobs, with the records that `submit` left out.

        One such record is whole; several are as far as they do not exceed LARGEST_PAGE_BYTES, else without
        their payload.
        """
        left_out = [job.record.job_id for job in submitted if not job.record.fields]
        if not left_out:
            return submitted
        if len(submitted) == 1:
            return [Submitted(await self._large_record(left_out[0]), replayed=True)]
        records = {
            record.job_id: record for record in await self._records(left_out, SUMMARY, LARGEST_PAGE_BYTES)
        }
        for job_id, record in records.items():
            if not record.fields:
                raise spent(job_id)
        return [
            job if job.record.fields else Submitted(records[job.record.job_id], replayed=True)
            for job in submitted
        ]

    async def _records(
        self, ids: Sequence[str], fields: Sequence[str], most_bytes: int
    ) -> list[StoredRecord]:
        """Records: whole as far as `most_bytes` allow, else with these fields alone; empty if missing."""
        found = await self._bulk.run(scripts.RECORDS, most_bytes, len(fields), *fields, *ids)
        return [StoredRecord(job_id, as_dict(pairs)) for job_id, pairs in zip(ids, found, strict=True)]

    async def _now(self) -> int:
        """Milliseconds since the epoch by Redis' clock, by which all times in the store are."""
        seconds, microseconds = await self._calls.command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000


def public(job_id: str) -> str:
    """The id, unless it is of a webhook's delivery, which is nobody's job. Raises JobNotFound."""
    if job_id.startswith(redis_keys.DELIVERY_ID):
        raise not_found(job_id)
    return job_id


def expired(job_id: str) -> JobExpired:
    return JobExpired(f"The job {job_id[:64]!r} has ended, and its record is kept no longer.")


def spent(job_id: str) -> JobExpired:
    """The error of an idempotency key whose job has expired."""
    return JobExpired(
        f"The job {job_id}, which this Idempotency-Key made, has ended, and its record is kept no longer.",
        hint="Use a new Idempotency-Key to have the work done again.",
    )


def not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"No job has the id {job_id[:64]!r}.")


def _over(quota: JobQuota, verdict: bytes, used: int, more: int) -> JobServerError:
    """The error of a submission that exceeds a quota of its caller, by jobs or by bytes."""
    error: JobServerError
    if verdict == b"backlog":
        most, hint = quota.waiting, f"Submit {quota.waiting} jobs at most in one request."
        error = BacklogFull(f"Waiting jobs of this caller: {used} of {most}; no room for {more} more.")
    else:
        most = quota.kept_bytes
        hint = f"Send params of {most} bytes at most in one request; the operator sets the quota."
        error = QuotaReached(
            f"Bytes of params and results kept for this caller: {used} of {most}; no room for {more} more.",
            hint="Wait until records of finished jobs expire, or send less; the operator sets the quota.",
        )
    if more > most:  # there will never be room
        error.hint, error.retryable = hint, False
    return error


def _submitted(entry: Entry, verdict: bytes, *answer: Any) -> Submitted:
    if verdict == b"replayed":
        job_id, pairs = answer
        fields = {} if pairs == LARGE else as_dict(pairs)
        return Submitted(StoredRecord(job_id.decode(), fields), replayed=True)
    created_at, run_at, start_by = map(_bytes, answer)
    fields = {name.encode(): _bytes(value) for name, value in entry.fields.items()}
    fields |= {
        b"state": b"pending",
        b"queue": entry.queue.encode(),
        b"version": b"1",
        b"created_at": created_at,
    }
    if run_at:
        fields[b"run_at"] = run_at
    if start_by:
        fields[b"start_by"] = start_by
    return Submitted(StoredRecord(entry.job_id, fields), replayed=False)


def _bytes(value: Argument) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _claim(values: list[Any]) -> Claim:
    queue, job_id, fencing_token, attempt, max_attempts, message, params, request_id = values
    return Claim(
        queue.decode(),
        job_id := job_id.decode(),
        fencing_token,
        attempt,
        int(max_attempts),
        message,
        params,
        request_id.decode(),
        f"{fencing_token}:{job_id}",
    )
