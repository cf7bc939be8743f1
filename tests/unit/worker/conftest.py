"""Fixtures: a lane on a fake Redis, and a deliverer with its receiver.

The handler of the lane waits until the test lets the job end.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.errors import QueueUnavailable
from shared.job_type import JobType, Params
from shared.store.job_leases import JobLeases, Step
from shared.store.job_queue import JobQueue
from shared.stored_record import StoredRecord
from shared.webhooks.signing import read_secrets
from tests.new_jobs import RETENTION, new_job
from tests.unit.worker.webhook_receiver import LOOPBACK, SECRETS, Receiver
from worker.context import JobContext
from worker.handler import Handler
from worker.lane import Lane
from worker.lease_snapshot import SnapshotMemory
from worker.metrics.lane_metrics import LaneMetrics
from worker.running_jobs import RunningJobs
from worker.webhooks.deliverer import Deliverer

LEASE = 30.0


class WatchedLeases(JobLeases):
    """Keeps the arguments of each step; loses its next replies, or the connection before the call.

    Attributes:
        steps: number and slots of each step, in order.
        replies_lost: the number of next steps that are made and whose replies are lost.
        replies_held: the number of steps that are made and whose replies wait for `may_reply`.
        away: whether Redis does not answer.
        refused: the number of calls meanwhile.
        beats: the number of beats.
    """

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.steps: list[tuple[int, int]] = []
        self.replies_lost = 0
        self.replies_held = 0
        self.may_reply = asyncio.Event()
        self.may_reply.set()
        self.away = False
        self.refused = 0
        self.beats = 0

    async def step(self, worker_id: str, number: int, *arguments: Any, **options: Any) -> Step:
        self.steps.append((number, options["slots"]))
        self._refuse_if_away()
        step = await super().step(worker_id, number, *arguments, **options)
        if self.replies_lost:
            self.replies_lost -= 1
            raise QueueUnavailable("the reply was lost")
        if not self.may_reply.is_set():
            self.replies_held += 1
            await self.may_reply.wait()
        return step

    async def beat(self, *arguments: Any, **options: Any) -> tuple[set[str], set[str]]:
        self._refuse_if_away()
        self.beats += 1
        return await super().beat(*arguments, **options)

    async def report(self, *arguments: Any, **options: Any) -> set[str]:
        self._refuse_if_away()
        return await super().report(*arguments, **options)

    async def wait_for_wake_up(self, *arguments: Any) -> str | None:
        self._refuse_if_away()
        return await super().wait_for_wake_up(*arguments)

    def _refuse_if_away(self) -> None:
        if self.away:
            self.refused += 1
            raise QueueUnavailable("Redis is away")


class Clock:
    """Stands in for the module `time`; a test moves it on."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Bench:
    """A lane with two slots, and the queue that it serves.

    Attributes:
        started: ids of the jobs whose handlers have begun.
        contexts: their contexts, by job id.
        answers: the lane's calls of `on_redis`.
    """

    def __init__(self, redis: Redis, slots: int = 2, metrics: LaneMetrics | None = None) -> None:
        self.redis = redis
        self.job_queue = JobQueue(redis, RETENTION, max_waiting=100)
        self.leases = WatchedLeases(redis)
        self.idle_leases = WatchedLeases(redis)
        self.report_due = asyncio.Event()
        self.started: list[str] = []
        self.contexts: dict[str, JobContext] = {}
        self.answers: list[QueueUnavailable | None] = []
        self.jobs = RunningJobs(
            slots,
            {"work": Handler(WORK, self._work)},
            max_result_bytes=1000,
            on_report=self.report_due.set,
            metrics=metrics,
        )
        self.lane = Lane(
            "w",
            ["default"],
            self.jobs,
            lease=LEASE,
            retention=RETENTION,
            job_leases=self.leases,
            idle_leases=self.idle_leases,
            on_leases=lambda: None,
            on_change=lambda: None,
            on_redis=self.answers.append,
            metrics=metrics,
        )
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pumps(self) -> list[Callable[[], Any]]:
        return [pump.run for pump in self.lane.pumps]

    async def submit(self, *job_ids: str) -> None:
        for job_id in job_ids:
            await self.job_queue.submit(new_job(job_id, job_type="work"))

    async def record(self, job_id: str) -> StoredRecord:
        return await self.job_queue.get(job_id)

    async def state(self, job_id: str) -> str:
        return (await self.record(job_id)).state

    def let_end(self, job_id: str) -> None:
        self._end(job_id).set()

    def run(self, *services: Callable[[], Any]) -> list[asyncio.Task[None]]:
        """Run services until the test ends."""
        tasks = [asyncio.ensure_future(service()) for service in services]
        self._tasks += tasks
        return tasks

    async def close(self) -> None:
        self.lane.stop_claiming()
        self.jobs.abandon()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self, job_id: str) -> asyncio.Event:
        return self._ends.setdefault(job_id, asyncio.Event())

    async def _work(self, params: Params, job: JobContext) -> None:
        self.started.append(job.job_id)
        self.contexts[job.job_id] = job
        await self._end(job.job_id).wait()


WORK = JobType(
    name="work", summary="", params=Params, result=type(None), example={}, timeout=3600, max_attempts=3
)


@pytest.fixture
def memory() -> Iterator[SnapshotMemory]:
    memory = SnapshotMemory.create(20)
    yield memory
    memory.close()


@pytest.fixture
async def bench(fake_redis: Redis) -> AsyncIterator[Bench]:
    bench = Bench(fake_redis)
    yield bench
    await bench.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with receiver.listen():
        yield receiver


@pytest.fixture
async def deliverer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deliverer]:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)  # reading what the system trusts takes its time
    deliverer = Deliverer(read_secrets(",".join(SECRETS)), LOOPBACK)
    yield deliverer
    await deliverer.aclose()
