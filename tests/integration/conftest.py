"""Fixtures of the store's tests: workers that step when a test says so, on the fake and the real Redis."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.files import FileStore
from shared.record import JobState
from shared.store import redis_keys
from shared.store.job_leases import Claim, Finished, JobLeases, Outcome, OutcomeKind, Step
from shared.store.job_queue import JobQueue
from shared.store.upkeep import Upkeep
from shared.store.worker_info import WorkerInfo
from shared.stored_record import StoredRecord
from tests.new_jobs import RETENTION, new_job


@pytest.fixture(params=["fake_redis", "redis"])
def server(request: pytest.FixtureRequest) -> Redis:
    """The fake and the real Redis: every test of the store runs on both."""
    client: Redis = request.getfixturevalue(request.param)
    return client


@pytest.fixture
def job_queue(server: Redis) -> JobQueue:
    return JobQueue(server, RETENTION, max_waiting=1000)


@pytest.fixture
def job_leases(server: Redis) -> JobLeases:
    return JobLeases(server)


@pytest.fixture
def upkeep(server: Redis) -> Upkeep:
    return Upkeep(server, RETENTION)


@pytest.fixture(params=["folder", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileStore]:
    """A folder and a bucket: every test of files runs on both."""
    url = request.getfixturevalue("s3") if request.param == "s3" else (tmp_path / "a b").as_uri()
    files = FileStore.open(url)
    yield files
    files.close()


Submit = Callable[..., Awaitable[StoredRecord]]


@pytest.fixture
def submit(server: Redis) -> Submit:
    """Submit a job by its id."""

    async def submit(
        job_id: str,
        queue: str = "default",
        *,
        max_attempts: int = 3,
        run_at: datetime | None = None,
        max_waiting: int = 1000,
        files: Sequence[str] = (),
    ) -> StoredRecord:
        job = new_job(
            job_id,
            queue,
            max_attempts=max_attempts,
            params=b'{"message":1}',
            run_at=run_at,
            files=files,
        )
        record, _ = await JobQueue(server, RETENTION, max_waiting=max_waiting).submit(job)
        return record

    return submit


@dataclass
class HandWorker:
    """A worker that steps when a test says so."""

    name: str
    job_leases: JobLeases
    redis: Redis
    queues: Sequence[str] = ("default",)
    steps: int = 0

    @property
    def info(self) -> WorkerInfo:
        return WorkerInfo(self.name, "host", 1, self.queues, slots=10, started_at=1.5)

    async def step(self, *finished: Finished, slots: int = 0, number: int | None = None) -> Step:
        """Make a step: the next one, or a repeated one by its number."""
        if number is None:
            self.steps += 1
            number = self.steps
        return await self.job_leases.step(
            self.name, number, self.queues, finished, slots=slots, lease=60, retention=RETENTION
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

    async def lose(self, claim: Claim) -> None:
        """Let the lease run out."""
        assert await self.redis.zadd(redis_keys.LEASES + claim.queue, {claim.lease: 1}, xx=True, ch=True)


Hire = Callable[..., HandWorker]


@pytest.fixture
def hire(job_leases: JobLeases, server: Redis) -> Hire:
    numbers = count(1)

    def hire(*queues: str) -> HandWorker:
        return HandWorker(f"worker-{next(numbers)}", job_leases, server, queues or ("default",))

    return hire


@pytest.fixture
def worker(hire: Hire) -> HandWorker:
    return hire()


@pytest.fixture
def other(hire: Hire) -> HandWorker:
    return hire()


@pytest.fixture
def due(server: Redis) -> Callable[[str], Awaitable[None]]:
    """Let the time of a scheduled job come."""

    async def due(job_id: str, queue: str = "default") -> None:
        assert await server.zadd(redis_keys.QUEUE + queue, {job_id: 1}, xx=True, ch=True)

    return due


async def _indexes_agree(redis: Redis) -> None:
    """Check that every record is in the index of its state alone, and in its queue or among the leases."""
    records = {}
    async for key in redis.scan_iter(match=redis_keys.RECORD + "*"):
        records[key.decode().removeprefix(redis_keys.RECORD)] = await redis.hgetall(key)
    every = dict(await redis.zrange(redis_keys.INDEX, 0, -1, withscores=True))
    assert every == {name.encode(): float(r[b"created_at"]) for name, r in records.items()}
    for state in JobState:
        indexed = dict(await redis.zrange(redis_keys.INDEX_OF + state, 0, -1, withscores=True))
        held = {name.encode(): r for name, r in records.items() if r[b"state"].decode() == state}
        score = b"created_at" if state in (JobState.PENDING, JobState.RUNNING) else b"expires_at"
        assert indexed == {name: float(record[score]) for name, record in held.items()}
    for name, record in records.items():
        queue = record[b"queue"].decode()
        waits = await redis.zscore(redis_keys.QUEUE + queue, name) is not None
        lease = f"{record.get(b'claims', b'0').decode()}:{name}"
        runs = await redis.zscore(redis_keys.LEASES + queue, lease) is not None
        assert waits == (record[b"state"] == b"pending")
        assert runs == (record[b"state"] == b"running")


@pytest.fixture
def indexes_agree(server: Redis) -> Callable[[], Awaitable[None]]:
    return lambda: _indexes_agree(server)
