"""Cancel, complete and the end of the lease, in random orders: each job has one end, which never changes."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

from chaos.chaos_service import chaos_service
from chaos.checks import Check, exactly, examples, figure
from chaos.suite_options import SuiteOptions
from shared.job_type import JobType, Params
from shared.store import redis_keys
from shared.store.client import connect
from shared.store.job_leases import AttemptReport, Claim, Finished, JobLeases, Outcome, OutcomeKind
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from shared.store.retention import Retention
from shared.store.submission import NewJob

TIMES, AT_ONCE = 10_000, 100
MOVES = ("cancel", "complete", "fail", "lease ends", "other claims", "progress", "again")
BODIES = {OutcomeKind.COMPLETED: b"1", OutcomeKind.FAILED: b'{"code":"broken","attempt":1}'}
RETENTION = Retention(completed=86400, failed=604800, cancelled=86400)
Fields = dict[bytes, bytes]


class Interleaving:
    """A job in its own queue, and two workers that compete for it."""

    def __init__(self, number: int, redis: Multiplexer, rng: Random) -> None:
        self.job_id, self.queue = f"job-{number}", f"queue-{number}"
        self.ends: list[Fields] = []  # the record after its end, at every later move
        self.moves: list[str] = []
        self._queue, self._leases = JobQueue(redis, RETENTION, max_waiting=9), JobLeases(redis)
        self._redis, self._chance = redis, rng
        self._steps: Counter[str] = Counter()
        self._claims: list[tuple[str, Claim]] = []
        self._last: tuple[Any, ...] = ()

    async def play(self) -> None:
        """Claim the job, make random moves, and finish the job."""
        job_type = JobType(
            name="t", summary="", params=Params, result=int, example={}, queue=self.queue, max_attempts=2
        )
        await self._queue.submit(NewJob(job_type, b"{}", "r", job_id=self.job_id))
        await self._step("a", slots=1)
        for _ in range(self._chance.randint(3, 8)):
            await self._move(self._chance.choice(MOVES))
        while not self.ends:
            for move in ("other claims", "lease ends", "other claims"):
                await self._move(move)
        for move in MOVES:  # no move may change the end
            await self._move(move)

    async def _move(self, move: str) -> None:
        worker = self._chance.choice("ab")
        self.moves.append(move)
        match move:
            case "cancel":
                await self._queue.cancel(self.job_id)
            case "complete":
                await self._finish(OutcomeKind.COMPLETED)
            case "fail":
                await self._finish(OutcomeKind.FAILED)
            case "lease ends":
                for _, claim in self._claims[-1:]:
                    await self._redis.execute_command(
                        "ZADD", redis_keys.LEASES + self.queue, "XX", 1, claim.lease
                    )
            case "other claims":
                await self._step(worker, slots=1)
            case "progress":
                await self._leases.report([AttemptReport(claim, b"{}") for _, claim in self._claims])
            case _ if self._last:
                await self._send(*self._last)
        record = (await self._queue.get(self.job_id)).fields
        if self.ends or b"finished_at" in record:
            self.ends.append(dict(record))

    async def _finish(self, kind: OutcomeKind) -> None:
        worker, claim = self._chance.choice(self._claims)
        await self._step(worker, Finished(claim, Outcome(kind, BODIES[kind])))

    async def _step(self, worker: str, *finished: Finished, slots: int = 0) -> None:
        self._steps[worker] += 1
        self._last = (worker, self._steps[worker], finished, slots)
        await self._send(*self._last)

    async def _send(self, worker: str, number: int, finished: tuple[Finished, ...], slots: int) -> None:
        name = f"{worker}-{self.queue}"
        step = await self._leases.step(
            name, number, [self.queue], finished, slots=slots, lease=60, retention=RETENTION
        )
        self._claims += [(worker, claim) for claim in step.claims if (worker, claim) not in self._claims]


def run(options: SuiteOptions) -> list[Check]:
    with chaos_service(api=False) as service:
        runs = asyncio.run(play_all(service.stack.admin_url, options))
    changed = [each for each in runs if any(end != each.ends[0] for end in each.ends)]
    states = Counter(each.ends[0][b"state"].decode() for each in runs)
    example = examples([" → ".join(each.moves) for each in changed[:1]])
    name = f"{len(runs):,} interleavings"
    return [
        exactly(f"{name}: ends that changed", len(changed), 0, note=example),
        exactly(f"{name}: jobs with one end", sum(states.values()), len(runs)),
        figure(f"{name}: ends", ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))),
    ]


async def play_all(url: str, options: SuiteOptions) -> list[Interleaving]:
    """Play AT_ONCE jobs together, so that their calls share batches."""
    rng = options.rng("interleavings")
    redis = Multiplexer(connect(url), timeout=30)
    runs = [Interleaving(number, redis, Random(rng.random())) for number in range(options.scaled(TIMES))]
    try:
        for first in range(0, len(runs), AT_ONCE):
            await asyncio.gather(*(each.play() for each in runs[first : first + AT_ONCE]))
    finally:
        await redis.aclose()
    return runs
