"""Fixtures of the store's tests: workers that step when a test says so, on the fake and the real Redis."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.files import FileStore
from shared.record import TERMINAL_STATES
from shared.store import redis_keys
from shared.store.client import connect
from shared.store.job_leases import JobLeases
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from shared.store.upkeep import Upkeep
from shared.store.workers import WorkerInfo
from shared.stored_record import StoredRecord
from shared.traces.context import TraceContext
from tests.integration.echo_server import EchoServer, echo_serving
from tests.manual_worker import ManualWorker
from tests.new_jobs import RETENTION, new_job


@pytest.fixture(params=["fake_redis", "redis", "cluster_redis"])
def server(request: pytest.FixtureRequest) -> Redis:
    """The fake and the real Redis, and a shard of a cluster: every test of the store runs on all three."""
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
        trace: TraceContext | None = None,
    ) -> StoredRecord:
        job = new_job(
            job_id,
            queue,
            max_attempts=max_attempts,
            params=b'{"message":1}',
            run_at=run_at,
            files=files,
            trace=trace,
        )
        record, _ = await JobQueue(server, RETENTION, max_waiting=max_waiting).submit(job)
        return record

    return submit


NewWorker = Callable[..., ManualWorker]


@pytest.fixture
def new_worker(server: Redis) -> NewWorker:
    """Make a worker of these queues: `new_worker("a", "b")`."""
    numbers = count(1)

    def new_worker(*queues: str) -> ManualWorker:
        name = f"worker-{next(numbers)}"
        info = WorkerInfo(name, "host", 1, queues or ("default",), slots=10, started_at=1.5)
        return ManualWorker(info, server)

    return new_worker


@pytest.fixture
def worker(new_worker: NewWorker) -> ManualWorker:
    return new_worker()


@pytest.fixture
def other(new_worker: NewWorker) -> ManualWorker:
    return new_worker()


@pytest.fixture
def due(server: Redis) -> Callable[[str], Awaitable[None]]:
    """Let the time of a scheduled job come."""

    async def due(job_id: str, queue: str = "default") -> None:
        assert await server.zadd(redis_keys.QUEUE + queue, {job_id: 1}, xx=True, ch=True)

    return due


async def _indexes_agree(redis: Redis) -> None:
    """Check that every record is in its queue, among the leases, or in the index of its terminal state."""
    records = {}
    async for key in redis.scan_iter(match=redis_keys.RECORD + "*"):
        records[key.decode().removeprefix(redis_keys.RECORD)] = await redis.hgetall(key)
    every = dict(await redis.zrange(redis_keys.INDEX, 0, -1, withscores=True))
    assert every == {name.encode(): float(r[b"created_at"]) for name, r in records.items()}
    for state in TERMINAL_STATES:
        indexed = dict(await redis.zrange(redis_keys.INDEX_OF + state, 0, -1, withscores=True))
        held = {name.encode(): r for name, r in records.items() if r[b"state"].decode() == state}
        assert indexed == {name: float(record[b"expires_at"]) for name, record in held.items()}
    alive = {r[b"queue"] for r in records.values() if r[b"state"] in (b"pending", b"running")}
    assert alive <= await redis.smembers(redis_keys.QUEUES)
    for name, record in records.items():
        queue = record[b"queue"].decode()
        waits = await redis.zscore(redis_keys.QUEUE + queue, name) is not None
        lease = f"{record.get(b'claims', b'0').decode()}:{name}"
        runs = await redis.zscore(redis_keys.LEASES + queue, lease) is not None
        assert waits == (record[b"state"] == b"pending")
        assert runs == (record[b"state"] == b"running")


@pytest.fixture
def indexes_of() -> Callable[[Redis], Awaitable[None]]:
    """Check the indexes of a given Redis."""
    return _indexes_agree


@pytest.fixture
def indexes_agree(server: Redis) -> Callable[[], Awaitable[None]]:
    return lambda: _indexes_agree(server)


@pytest.fixture
async def echo_server() -> AsyncIterator[EchoServer]:
    """A server in place of Redis that a test can make slow, silent or faulty."""
    async with echo_serving() as server:
        yield server


Open = Callable[..., Multiplexer]


@pytest.fixture
async def open_to() -> AsyncIterator[Open]:
    """Open a multiplexer to a port; `options` are its keywords."""
    opened: list[Multiplexer] = []

    def open_to(port: int, **options: Any) -> Multiplexer:
        opened.append(Multiplexer(connect(f"redis://127.0.0.1:{port}/0"), **options))
        return opened[-1]

    yield open_to
    for multiplexer in opened:
        await multiplexer.aclose()
