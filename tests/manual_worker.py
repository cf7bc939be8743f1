"""A worker for tests of the store and the API: each of its moves is made by a test."""

from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

from shared.store import redis_keys
from shared.store.job_leases import Claim, Finished, JobLeases, Outcome, OutcomeKind, Step
from shared.store.retention import Retention
from shared.store.workers import WorkerInfo
from tests.new_jobs import RETENTION


@dataclass
class ManualWorker:
    """A worker that claims, finishes and beats when a test says so.

    Attributes:
        info: the worker as its heartbeat shows it; its queues are those that it claims from.
        steps: the number of its last step.
    """

    info: WorkerInfo
    redis: Redis
    retention: Retention = RETENTION
    steps: int = 0

    @property
    def name(self) -> str:
        return self.info.worker_id

    @property
    def job_leases(self) -> JobLeases:
        return JobLeases(self.redis)

    async def step(
        self, *finished: Finished, slots: int = 0, number: int | None = None, pump: int = 1
    ) -> Step:
        """Make a step of a pump: the next one, or a repeated one by its number."""
        if number is None:
            self.steps += 1
            number = self.steps
        return await self.job_leases.step(
            self.name,
            number,
            self.info.queues,
            finished,
            slots=slots,
            lease=60,
            retention=self.retention,
            pump=pump,
        )

    async def claim(self, slots: int = 1) -> list[Claim]:
        return (await self.step(slots=slots)).claims

    async def claim_one(self) -> Claim:
        (claim,) = await self.claim()
        return claim

    async def finish(self, claim: Claim, kind: OutcomeKind, body: bytes = b"", *, delay: int = 0) -> bool:
        """Finish an attempt; returns whether its outcome was accepted."""
        step = await self.step(Finished(claim, Outcome(kind, body, delay)))
        return step.accepted[0]

    async def finish_next(self, kind: OutcomeKind, body: Any = None) -> None:
        """Claim the next job, and finish it with this value as JSON."""
        assert await self.finish(await self.claim_one(), kind, orjson.dumps(body))

    async def beat(self, *, running: int = 0) -> None:
        """Send a heartbeat that renews no lease."""
        await self.job_leases.beat(self.info, [], running=running, lease=60)

    async def lose(self, claim: Claim) -> None:
        """Let the lease run out."""
        assert await self.redis.zadd(redis_keys.LEASES + claim.queue, {claim.lease: 1}, xx=True, ch=True)
