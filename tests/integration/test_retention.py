"""RETAIN_*: a worker process keeps the records of ended jobs for the times of its settings."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from redis.asyncio import Redis

from dev.stack import PATIENCE, Stack, join, terminate
from shared.store import redis_keys
from shared.store.job_queue import JobQueue
from tests.integration.conftest import ManualWorker, Submit
from tests.new_jobs import new_job

RETAIN = {"completed": 1234, "failed": 2345, "cancelled": 3456}  # seconds; all differ from the defaults
Prepare = Callable[[Submit, ManualWorker, JobQueue], Awaitable[None]]


async def run(submit: Submit, worker: ManualWorker, job_queue: JobQueue) -> None:
    await submit("a")


async def lose(submit: Submit, worker: ManualWorker, job_queue: JobQueue) -> None:
    """Its last attempt is lost with its worker, so a rescue fails it."""
    await submit("a", max_attempts=1)
    await worker.lose(await worker.claim_one())


async def let_expire(submit: Submit, worker: ManualWorker, job_queue: JobQueue) -> None:
    """No worker has started it in time, so a step or an upkeep fails it."""
    await job_queue.submit(new_job("a", start_within_seconds=60))
    await worker.redis.hset(redis_keys.RECORD + "a", "start_by", "1")


async def cancel_and_lose(submit: Submit, worker: ManualWorker, job_queue: JobQueue) -> None:
    """Its worker was asked to stop it and is lost, so a rescue cancels it."""
    await submit("a")
    claim = await worker.claim_one()
    await job_queue.cancel("a")
    await worker.lose(claim)


@pytest.fixture
def server(redis: Redis) -> Redis:
    """The worker process knows the real Redis only."""
    return redis


@pytest.fixture
def start_worker(redis_stack: Stack, redis: Redis) -> Iterator[Callable[[], None]]:
    """Start a worker process, which is alone: no other process rescues or ends jobs."""
    settings = {f"RETAIN_{state.upper()}": str(seconds) for state, seconds in RETAIN.items()}
    started = []
    yield lambda: started.append(redis_stack.start_worker(WORKER_LEASE_SECONDS="1", **settings))
    for process in started:
        terminate(process)
        join(process)


@pytest.mark.parametrize(
    ("prepare", "state"),
    [(run, "completed"), (lose, "failed"), (let_expire, "failed"), (cancel_and_lose, "cancelled")],
)
async def test_a_job_that_a_worker_ends_is_kept_for_the_time_of_its_settings(
    prepare: Prepare,
    state: str,
    submit: Submit,
    worker: ManualWorker,
    job_queue: JobQueue,
    start_worker: Callable[[], None],
):
    await prepare(submit, worker, job_queue)
    start_worker()
    key = redis_keys.RECORD + "a"
    async with asyncio.timeout(PATIENCE):
        while not await worker.redis.hexists(key, "expires_at"):
            await asyncio.sleep(0.02)
    found, finished_at, expires_at = await worker.redis.hmget(key, "state", "finished_at", "expires_at")
    assert (found.decode(), (int(expires_at) - int(finished_at)) / 1000) == (state, RETAIN[state])
    assert await worker.redis.pexpiretime(key) == int(expires_at)
