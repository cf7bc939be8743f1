"""The store: every move in a job's life as one typed call."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from shared.errors import JobNotFound, QueueFull, QueueUnavailable
from shared.record import JobState, StoredRecord
from shared.store import keys, scripts
from shared.store.client import REDIS_GONE, Argument, Runner


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds for which a finished job can be read, by how it ended."""

    completed: int = 86400
    failed: int = 604800
    cancelled: int = 86400


class Verdict(StrEnum):
    """What a request to cancel came to."""

    CANCELLED = "cancelled"
    CANCELLING = "cancelling"
    FINISHED = "finished"


class OutcomeKind(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    RETRY = "retry"
    CANCELLED = "cancelled"
    RELEASED = "released"


class Outcome(NamedTuple):  # as are those below that every job needs: half the price of a frozen dataclass
    """The end of one attempt.

    Attributes:
        kind: what becomes of the job.
        body: JSON: the result (completed) or the error (failed, retry); else empty.
        delay: milliseconds until the job is due again (retry, released).
    """

    kind: OutcomeKind
    body: bytes = b""
    delay: int = 0


class Claim(NamedTuple):
    """A job that this worker holds a lease for.

    Attributes:
        token: the fence: which claim of this job it is, counted from 1 and never repeated.
        attempt: which attempt it is, as the record shows it.
        message: arq's message.
        params: the record's params, JSON.
        lease: what the worker holds: `token:job_id`.
    """

    queue: str
    job_id: str
    token: int
    attempt: int
    max_attempts: int
    message: bytes
    params: bytes
    request_id: str
    lease: str


class Finished(NamedTuple):
    """An attempt's end on its way to Redis."""

    claim: Claim
    outcome: Outcome
    progress: bytes = b""


class Step(NamedTuple):
    """What one step came to.

    Attributes:
        wait: seconds until something of the worker's queues wants attention; None if nothing is known.
        accepted: per finished attempt, whether its outcome counts; False if the lease was lost.
        recovered: ids of jobs whose lease ran out.
        claims: the jobs to run now.
    """

    wait: float | None
    accepted: list[bool]
    recovered: list[str]
    claims: list[Claim]


@dataclass(frozen=True, slots=True)
class QueueCounts:
    waiting: int
    running: int


@dataclass(frozen=True, slots=True)
class Presence:
    """A worker as it shows itself to others."""

    worker_id: str
    host: str
    pid: int
    queues: Sequence[str]
    slots: int
    started_at: float


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

    async def submit(
        self,
        job_id: str,
        queue: str,
        message: bytes,
        fields: Mapping[str, Argument],
        *,
        due: int = 0,
        max_waiting: int,
    ) -> StoredRecord:
        """Accept a job: due now, or at `due` in milliseconds since the epoch.

        Raises:
            QueueFull: `max_waiting` jobs wait in the queue.
        """
        pairs = [word for pair in fields.items() for word in pair]
        verdict, number = await self._run(scripts.SUBMIT, job_id, queue, due, max_waiting, message, *pairs)
        if verdict == b"full":
            raise QueueFull(f"{number} jobs wait in the queue {queue!r}.")
        stored = {
            b"state": b"pending",
            b"queue": queue.encode(),
            b"version": b"1",
            b"created_at": _bytes(number),
        }
        return StoredRecord(job_id, stored | {name.encode(): _bytes(value) for name, value in fields.items()})

    async def get(self, job_id: str) -> StoredRecord:
        """The record of a job.

        Raises:
            JobNotFound: there is none.
        """
        fields = await self._hash(keys.RECORD + job_id)
        if not fields:
            raise not_found(job_id)
        return StoredRecord(job_id, fields)

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
            raise _unavailable(error) from error

    async def _command(self, name: str, *words: Argument) -> Any:
        try:
            return await self._runner.execute_command(name, *words)
        except REDIS_GONE as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> QueueUnavailable:
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
