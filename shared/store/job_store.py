"""The store: every move in a job's life as one typed call."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from shared.errors import IdempotencyConflict, JobNotFound, QueueFull, QueueUnavailable, UnknownFile
from shared.record import JobState, StoredRecord
from shared.store import keys, scripts
from shared.store.client import REDIS_GONE, Argument, Runner
from shared.store.model import (
    Claim,
    Entry,
    Filters,
    Finished,
    Page,
    Place,
    Presence,
    QueueCounts,
    Retention,
    Step,
    Submitted,
    Verdict,
)

IDEMPOTENCY_SECONDS = 86400
SCANNED_AT_ONCE = 1000  # entries of an index; Redis does nothing else meanwhile


class JobStore:
    """The records, queues and leases in Redis.

    Args:
        runner: sends commands; a client, or a `Multiplexer`, which is faster.
        retention: how long finished jobs are kept.

    Every method may be repeated when its reply was lost. Besides what is named, each raises
    QueueUnavailable while Redis can't serve it.
    """

    def __init__(self, runner: Runner, retention: Retention) -> None:
        self._runner = runner
        self._retention = retention

    async def submit(self, *entries: Entry, max_waiting: int) -> list[Submitted]:
        """Accept jobs, all of them or none.

        Args:
            max_waiting: jobs that may wait in each queue.

        Raises:
            QueueFull: a queue has no room for all of them.
            UnknownFile: a job names a file that is not there.
            IdempotencyConflict: an idempotency key was used before, for something else.
        """
        words: list[Argument] = []
        for entry in entries:
            words += (entry.job_id, entry.queue, entry.due, entry.delay, entry.start_within, max_waiting)
            words += (entry.idempotency_key and keys.IDEMPOTENCY + entry.idempotency_key, entry.digest)
            words += (IDEMPOTENCY_SECONDS, " ".join(entry.files), entry.message, 2 * len(entry.fields))
            for pair in entry.fields.items():
                words += pair
        verdict, *answer = await self._run(scripts.SUBMIT, *words)
        if verdict == b"full":
            queue, waiting = answer
            raise QueueFull(f"{waiting} jobs wait in the queue {queue.decode()!r}.")
        if verdict == b"missing":
            raise UnknownFile(f"There is no file {answer[0].decode()!r}.")
        if verdict == b"conflict":
            raise IdempotencyConflict(
                f"This Idempotency-Key was used before, with another request: job {answer[0].decode()}."
            )
        return [_submitted(entry, *found) for entry, found in zip(entries, answer[0], strict=True)]

    async def get(self, job_id: str) -> StoredRecord:
        """The record of a job.

        Raises:
            JobNotFound: there is none.
        """
        place, *pairs = await self._run(scripts.READ, job_id, self._retention.failed)
        if not pairs:
            raise not_found(job_id)
        return StoredRecord(job_id, _dict(pairs), place)

    async def version(self, job_id: str) -> int | None:
        """The version of a job's record, for less than the record; None if there is none."""
        version = await self._command("HGET", keys.RECORD + job_id, "version")
        return None if version is None else int(version)

    async def ended_lately(self, now: float, seconds: float) -> int:
        """How many jobs have ended in the last `seconds` before `now` (since the epoch)."""
        keep, after = self._retention, now - seconds
        counts = [
            self._command("ZCOUNT", keys.INDEX_OF + state, milliseconds(after + kept), "+inf")
            for state, kept in (
                (JobState.COMPLETED, keep.completed),
                (JobState.FAILED, keep.failed),
                (JobState.CANCELLED, keep.cancelled),
            )
        ]
        return sum(await asyncio.gather(*counts))

    async def page(self, filters: Filters, *, limit: int, after: Place | None) -> Page:
        """A page of jobs, newest first: by creation, or those in one terminal state by their end.

        Args:
            limit: records at most; there may be fewer although more follow, where filters match few.
            after: where the page before ended; None for the first one.
        """
        labels = [word for pair in filters.labels.items() for word in pair]
        score, last = after or ("", "")
        state = filters.state or ""
        score, last, *found = await self._run(
            scripts.LIST, state, filters.type, limit, SCANNED_AT_ONCE, score, last, *labels
        )
        records = [StoredRecord(job_id.decode(), _dict(pairs)) for job_id, *pairs in found]
        return Page(records, (score.decode(), last.decode()) if last else None)

    async def cancel(self, job_id: str) -> tuple[Verdict, StoredRecord]:
        """Cancel a waiting job, or ask the worker of a running one to stop.

        Raises:
            JobNotFound: there is none.
        """
        verdict, *pairs = await self._run(scripts.CANCEL, job_id, self._retention.cancelled)
        if verdict == b"missing":
            raise not_found(job_id)
        return Verdict(verdict.decode()), StoredRecord(job_id, _dict(pairs))

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
        """Finish attempts, recover leases that ran out, and claim up to `slots` due jobs.

        Args:
            worker_id: who asks.
            number: rises with every step; a repeat carries the same number and gets the same claims.
            queues: where to claim from, in strict order.
            finished: the attempts that have ended since the last step.
            slots: how many jobs the worker can start now.
            lease: seconds for which a claim holds without a heartbeat.
        """
        keep = self._retention
        words: list[Argument] = [worker_id, number, slots, milliseconds(lease)]
        words += [keep.completed, keep.failed, keep.cancelled, len(queues), *queues]
        for done in finished:
            claim, outcome = done.claim, done.outcome
            words += (claim.queue, claim.job_id, claim.lease)
            words += (outcome.kind.value, outcome.body, outcome.delay, done.progress)
        wait, accepted, recovered, claims = await self._run(scripts.STEP, *words)
        return Step(
            wait=None if wait < 0 else wait / 1000,
            accepted=[verdict == 1 for verdict in accepted],
            recovered=[job_id.decode() for job_id in recovered],
            claims=[_claim(claims[i : i + 8]) for i in range(0, len(claims), 8)],
        )

    async def beat(
        self, presence: Presence, claims: Iterable[Claim], *, running: int, lease: float
    ) -> tuple[set[str], set[str]]:
        """Renew leases and show that the worker lives.

        Returns:
            The leases that are lost, and those whose jobs were asked to stop.
        """
        words: list[Argument] = [presence.worker_id, milliseconds(lease), presence.host, presence.pid]
        words += [",".join(presence.queues), presence.slots, running, presence.started_at]
        words.append(self._retention.failed)
        for claim in claims:
            words += (claim.queue, claim.lease)
        lost, cancelled = await self._run(scripts.BEAT, *words)
        return {lease.decode() for lease in lost}, {lease.decode() for lease in cancelled}

    async def report(self, progress: Iterable[tuple[Claim, bytes]]) -> set[str]:
        """Write the progress (JSON) of running attempts; returns ids that were asked to stop."""
        words: list[Argument] = []
        for claim, value in progress:
            words += (claim.queue, claim.job_id, claim.token, value)
        return {job_id.decode() for job_id in await self._run(scripts.REPORT, *words)}

    async def wait_for_token(self, queues: Sequence[str], seconds: float) -> str | None:
        """The queue whose wake-up token came to this worker, or None when the time is over.

        The runner's read timeout must be longer than `seconds`.
        """
        token = await self._command("BLPOP", *(keys.WAKE + queue for queue in queues), seconds)
        return token[0].decode().removeprefix(keys.WAKE) if token else None

    async def return_token(self, queue: str) -> None:
        """Put a token back that another worker can make better use of."""
        await self._command("RPUSH", keys.WAKE + queue, "1")

    async def leave(self, presence: Presence) -> None:
        """Remove a worker that shuts down."""
        await self._run(scripts.LEAVE, presence.worker_id, *presence.queues)

    async def ping(self) -> None:
        await self._command("PING")

    async def workers(self) -> list[dict[str, str]]:
        """The live workers, each with its id and what `Presence` shows, and how many jobs it runs."""
        ids = await self._command("ZRANGE", keys.WORKERS, 0, -1)
        found = []
        for worker_id in ids:
            fields = await self._hash(keys.WORKER + worker_id.decode())
            if b"host" in fields:
                shown = {name.decode(): value.decode() for name, value in fields.items()}
                found.append({"worker_id": worker_id.decode()} | shown)
        return found

    async def queue_counts(self, queue: str) -> QueueCounts:
        waiting = await self._command("ZCARD", keys.QUEUE + queue)
        running = await self._command("ZCARD", keys.LEASES + queue)
        return QueueCounts(waiting, running)

    async def state_counts(self) -> dict[JobState, int]:
        """How many jobs are in each state, as far as their records are kept."""
        return {state: await self._command("ZCARD", keys.INDEX_OF + state) for state in JobState}

    async def _hash(self, key: str) -> dict[bytes, bytes]:
        reply = await self._command("HGETALL", key)
        return reply if isinstance(reply, dict) else _dict(reply)  # redis-py makes a dict of it itself

    async def _run(self, script: scripts.Script, *words: Argument) -> Any:
        try:
            return await script.run(self._runner, *words)
        except REDIS_GONE as error:
            raise unavailable(error) from error

    async def _command(self, name: str, *words: Argument) -> Any:
        try:
            return await self._runner.execute_command(name, *words)
        except REDIS_GONE as error:
            raise unavailable(error) from error


def unavailable(error: Exception) -> QueueUnavailable:
    """Redis can't be reached, or refuses: out of memory, read-only, loading, wrong password."""
    if isinstance(error, ResponseError):
        return QueueUnavailable(f"Redis refuses the call: {str(error).partition('. ')[0][:200]}.")
    return QueueUnavailable(f"Redis does not answer ({type(error).__name__}).")


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def not_found(job_id: str) -> JobNotFound:
    return JobNotFound(
        f"No job has the id {job_id[:64]!r}.",
        hint="Check the id; a finished job is kept for a limited time (RETAIN_COMPLETED and its like).",
    )


def _dict(pairs: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def _submitted(entry: Entry, verdict: bytes, *answer: Any) -> Submitted:
    if verdict == b"replayed":
        job_id, pairs = answer
        return Submitted(StoredRecord(job_id.decode(), _dict(pairs)), replayed=True)
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
    queue, job_id, token, attempt, max_attempts, message, params, request_id = values
    return Claim(
        queue.decode(),
        job_id := job_id.decode(),
        token,
        attempt,
        int(max_attempts),
        message,
        params,
        request_id.decode(),
        f"{token}:{job_id}",
    )
