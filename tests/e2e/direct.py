"""Submission of jobs past the API, for types that it does not know."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import orjson

from dev.service import Service
from dev.stack import PATIENCE, wait_until
from shared.record import JobRecord
from shared.store.cancel_results import CancelResult
from shared.store.client import connect
from shared.store.job_queue import JobQueue
from shared.store.submission import NewJob
from shared.store.upkeep import Upkeep
from tests.e2e.rogue_worker import JOB_TYPES
from tests.new_jobs import RETENTION
from worker.registry import load_handlers

MODULE = "tests.e2e.rogue_worker"
KNOWN = {handler.job_type.name: handler.job_type for handler in load_handlers()} | JOB_TYPES
T = TypeVar("T")


class Direct:
    """Client of the store: the API does not know the job types of the rogue worker."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def submit(self, job_type: str, **params: object) -> str:
        job = NewJob(KNOWN[job_type], orjson.dumps(params), "rogue-test")
        return self._with_queue(lambda queue: queue.submit(job)).record.job_id

    def submit_all(self, jobs: list[NewJob]) -> list[str]:
        async def submit(queue: JobQueue) -> list[str]:
            parts = [await queue.submit_all(jobs[at : at + 500]) for at in range(0, len(jobs), 500)]
            return [answer.record.job_id for part in parts for answer in part]

        return self._with_queue(submit)

    def cancel(self, job_id: str) -> CancelResult:
        return self._with_queue(lambda queue: queue.cancel(job_id))[0]

    def job(self, job_id: str) -> JobRecord:
        return self._with_queue(lambda queue: queue.get(job_id)).parse()

    def wait_for(self, job_id: str, state: str, *, seconds: float = PATIENCE) -> JobRecord:
        def reached() -> bool:
            record = self.job(job_id)
            assert record.state == state or not record.done, record
            return record.state == state

        wait_until(reached, f"the job is {state}", seconds=seconds)
        return self.job(job_id)

    def ends_with(self, job_id: str, code: str, *, seconds: float = PATIENCE) -> JobRecord:
        """Record of a job that must fail, with this code in its last error."""
        record = self.wait_for(job_id, "failed", seconds=seconds)
        assert record.errors[-1].code == code
        assert record.result is None
        return record

    def rescue(self) -> None:
        """Put jobs back whose leases ran out, as any other worker does."""

        async def once() -> None:
            redis = connect(self.service.stack.redis_url)
            try:
                await Upkeep(redis, RETENTION).run(["default"], lease=1)
            finally:
                await redis.aclose(close_connection_pool=True)

        asyncio.run(once())

    def _with_queue(self, use: Callable[[JobQueue], Awaitable[T]]) -> T:
        async def once() -> T:
            redis = connect(self.service.stack.redis_url)
            try:
                return await use(JobQueue(redis, RETENTION, max_waiting=10_000))
            finally:
                await redis.aclose(close_connection_pool=True)

        return asyncio.run(once())
