"""JobLeases: the worker's half of the store, which claims jobs, renews their leases and ends attempts."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from shared import VERSION
from shared.store import redis_keys, scripts
from shared.store.client import Argument, Runner
from shared.store.moves import NO_MOVES, Move, moves_of
from shared.store.redis_calls import RedisCalls, milliseconds
from shared.store.retention import Retention
from shared.store.rows import (
    BeatRow,
    ClaimRow,
    Lease,
    ReportRow,
    StepRow,
    StepUnderWayRow,
)
from shared.store.workers import WorkerInfo

CLAIM_WORDS = len(ClaimRow._fields)
NO_QUEUES: frozenset[str] = frozenset()
RETURNING_PUMP = 3  # a number that no pump of a lane has; its steps claim nothing, so Redis remembers none


class OutcomeKind(StrEnum):
    """The kinds of an attempt's end."""

    COMPLETED = "completed"
    FAILED = "failed"
    RETRY = "retry"
    CANCELLED = "cancelled"
    RELEASED = "released"
    RETURNED = "returned"  # a claim whose handler was not started


class Outcome(NamedTuple):  # as are those below that every job needs: half the price of a frozen dataclass
    """The end of one attempt.

    Attributes:
        kind: the job's next state follows from it.
        body: JSON: the result (completed) or the error (failed, retry); else empty.
        delay: milliseconds until the job is due again (retry, released).
    """

    kind: OutcomeKind
    body: bytes = b""
    delay: int = 0


class Claim(NamedTuple):
    """A job that this worker holds a lease for.

    Attributes:
        fencing_token: the number of this claim of the job, counted from 1 and never repeated.
        attempt: the number of the attempt, as the record shows it.
        message: arq's message.
        params: the record's params, JSON.
        lease: the worker's lease, `fencing_token:job_id`.
        trace: the record's trace context; see `TraceContext.of_stored`.
        due: the time at which the job was due, in milliseconds since the epoch; 0 if that is not known.
    """

    queue: str
    job_id: str
    fencing_token: int
    attempt: int
    max_attempts: int
    message: bytes
    params: bytes
    request_id: str
    lease: str
    trace: bytes = b""
    due: int = 0


class Finished(NamedTuple):
    """An attempt's end on its way to Redis.

    Attributes:
        progress: the last progress, JSON; empty without one.
        lines: lines that the job's log lacks, as `Line.encode` writes them, joined by newlines.
        artifacts: the files that the job made, JSON; empty without any.
        started_at: milliseconds since the epoch, by Redis' clock; 0 if the handler started with the claim.
        output: chunks that the job's output lacks, as `OutputBuffer.numbered` writes them.
        job_type: the name of the job's type; empty if the worker does not know it.
    """

    claim: Claim
    outcome: Outcome
    progress: bytes = b""
    lines: bytes = b""
    artifacts: bytes = b""
    started_at: int = 0
    output: bytes = b""
    job_type: str = ""


class AttemptReport(NamedTuple):
    """Progress, log lines, start and output of a running attempt, in the form that `Finished` has."""

    claim: Claim
    progress: bytes = b""
    lines: bytes = b""
    started_at: int = 0
    output: bytes = b""


class Step(NamedTuple):
    """The reply to one step.

    Attributes:
        wait: seconds until a job of the worker's queues is due or a lease ends; None if neither is known.
        accepted: per finished attempt, whether its outcome counts; False if the lease was lost.
        rescued: ids of jobs whose lease ran out.
        claims: the jobs to run now.
        made_at: the time of the step, in milliseconds since the epoch by Redis' clock.
        paused: those of the worker's queues that are paused.
        moves: those that the step has made besides the outcomes.
    """

    wait: float | None
    accepted: list[bool]
    rescued: list[str]
    claims: list[Claim]
    made_at: int
    paused: frozenset[str] = NO_QUEUES
    moves: list[Move] = NO_MOVES


class JobLeases:
    """Claims jobs, renews their leases, and writes the progress and the end of attempts.

    Args:
        runner: sends commands; a client, or a `Multiplexer`, which is faster.

    Every method may be repeated when its reply was lost, and raises QueueUnavailable while Redis can't
    serve it.
    """

    def __init__(self, runner: Runner) -> None:
        self._redis = RedisCalls(runner)

    async def step(
        self,
        worker_id: str,
        number: int,
        queues: Sequence[str],
        finished: Sequence[Finished],
        *,
        slots: int,
        lease: float,
        retention: Retention,
        pump: int = 1,
    ) -> Step:
        """Finish attempts, rescue jobs whose leases ran out, and claim up to `slots` due jobs.

        Args:
            worker_id: the worker, or one of its lanes.
            number: rises with every step of the pump; a repeat has the same number and gets the same claims.
            queues: the queues to claim from, in strict order.
            finished: the attempts that have ended since the last step.
            slots: the number of jobs that the worker can start now.
            lease: seconds for which a claim holds without a heartbeat.
            retention: how long finished jobs are kept.
            pump: the number of the pump, from 1: each makes one step at a time.
        """
        head = StepRow(worker_id, pump, number, slots, milliseconds(lease), *retention, len(queues))
        words: list[Argument] = [*head, *queues]
        for claim, (kind, body, delay), progress, lines, artifacts, started_at, output, _ in finished:
            # a FinishedRow as plain tuples, which are 0.3 µs cheaper for each job
            words += (claim.queue, claim.job_id, claim.lease)
            words += (kind, body, delay, progress, lines, artifacts, started_at, output)
        wait, accepted, rescued, claims, now, paused, moves = await self._redis.run(scripts.STEP, *words)
        return Step(
            wait=None if wait < 0 else wait / 1000,
            accepted=[counts == 1 for counts in accepted],
            rescued=[job_id.decode() for job_id in rescued],
            claims=_claims(claims),
            made_at=now,
            paused=frozenset(queue.decode() for queue in paused) if paused else NO_QUEUES,
            moves=moves_of(moves),
        )

    async def beat(
        self,
        worker: WorkerInfo,
        leases: Iterable[Claim | Lease],
        *,
        running: int,
        lease: float,
        models: str = "",
        memory: int = 0,
        overdue: Iterable[Lease] = (),
        steps: Sequence[tuple[str, int, int]] = (),
    ) -> tuple[set[str], set[str]]:
        """Renew leases and show that the worker lives.

        Args:
            leases: the leases that the worker knows of.
            running: the number of jobs that it runs.
            models: the states of its model hosts, JSON; empty without any.
            memory: resident memory of its process, in bytes.
            lease: seconds for which a renewal holds.
            overdue: leases that it has and does not renew, since the time of their jobs is over.
            steps: worker id, pump and number of each step under way, whose claims may not have arrived.

        Returns:
            The leases that are lost, and those whose jobs were asked to stop.
        """
        head = BeatRow(
            worker.worker_id,
            milliseconds(lease),
            worker.host,
            worker.pid,
            ",".join(worker.queues),
            worker.slots,
            running,
            models,
            memory,
            VERSION,
            worker.started_at,
            " ".join(lease.lease for lease in overdue),
            len(steps),
        )
        words: list[Argument] = [*head]
        for step in steps:
            words += StepUnderWayRow(*step)
        for held in leases:
            words += Lease(held.queue, held.lease)
        lost, cancelled = await self._redis.run(scripts.BEAT, *words)
        return {lease.decode() for lease in lost}, {lease.decode() for lease in cancelled}

    async def step_claims(self, worker_id: str, pump: int, number: int) -> list[Lease]:
        """The leases of the claims that a step has made; none if Redis has another step last."""
        names = ("step", "claimed") if pump == 1 else (f"step{pump}", f"claimed{pump}")
        last, claimed = await self._redis.command("HMGET", redis_keys.WORKER + worker_id, *names)
        if claimed is None or int(last) != number:
            return []
        words = claimed.decode().split(" ")
        return [Lease(*pair) for pair in zip(words[::2], words[1::2], strict=True)]

    async def return_claims(
        self, worker_id: str, leases: Sequence[Lease], retention: Retention
    ) -> list[bool]:
        """Return claims whose handlers have not begun, for another process; whether each lease was held."""
        finished = [Finished(_bare_claim(lease), Outcome(OutcomeKind.RETURNED)) for lease in leases]
        step = await self.step(
            worker_id, 1, [], finished, slots=0, lease=0, retention=retention, pump=RETURNING_PUMP
        )
        return step.accepted

    async def report(self, reports: Iterable[AttemptReport], *, worker_id: str = "") -> set[str]:
        """Write the reports of running attempts; returns ids of jobs that were asked to stop.

        Args:
            reports: those of one worker.
            worker_id: the worker; empty if that is not known.
        """
        words: list[Argument] = []
        for claim, progress, lines, started_at, output in reports:
            words += ReportRow(
                claim.queue, claim.job_id, claim.fencing_token, progress, lines, started_at, output, worker_id
            )
        return {job_id.decode() for job_id in await self._redis.run(scripts.REPORT, *words)}

    async def wait_for_wake_up(self, queues: Sequence[str], seconds: float) -> str | None:
        """Wait for a wake-up; returns its queue, or None when the time is over.

        The runner's read timeout must be longer than `seconds`.
        """
        wake_up = await self._redis.command("BLPOP", *(redis_keys.WAKE + queue for queue in queues), seconds)
        return wake_up[0].decode().partition(redis_keys.WAKE)[2] if wake_up else None

    async def return_wake_up(self, queue: str) -> None:
        """Return a wake-up that another worker can make better use of."""
        await self._redis.command("RPUSH", redis_keys.WAKE + queue, "1")

    async def leave(self, worker_id: str, queues: Sequence[str]) -> None:
        """Remove a worker that shuts down."""
        await self._redis.run(scripts.LEAVE, worker_id, *queues)


def _bare_claim(lease: Lease) -> Claim:
    """The claim of a lease, as far as its return needs one."""
    fencing_token, _, job_id = lease.lease.partition(":")
    return Claim(lease.queue, job_id, int(fencing_token), 0, 0, b"", b"", "", lease.lease)


def _claims(words: list[Any]) -> list[Claim]:
    return [_claim(*row) for row in zip(*[iter(words)] * CLAIM_WORDS, strict=True)]


def _claim(
    queue: bytes,
    job_id: bytes,
    fencing_token: int,
    attempt: int,
    max_attempts: bytes,
    message: bytes,
    params: bytes,
    request_id: bytes,
    trace: bytes,
    due: int,
) -> Claim:
    """Make a claim of the words of a ClaimRow; its fields are the parameters."""
    id_text = job_id.decode()
    return Claim(
        queue.decode(),
        id_text,
        fencing_token,
        attempt,
        int(max_attempts),
        message,
        params,
        request_id.decode(),
        f"{fencing_token}:{id_text}",
        trace,
        due,
    )
