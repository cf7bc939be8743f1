"""Submission past the API, for the job types of the fault suite, which the API does not know."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.store.client import connect
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from shared.store.retention import Retention

MAX_WAITING = 100_000
RETENTION = Retention(completed=86400, failed=604800, cancelled=86400)


@asynccontextmanager
async def direct_queue(redis_url: str) -> AsyncIterator[JobQueue]:
    """Open a queue on a Redis of the suite."""
    redis = Multiplexer(connect(redis_url))
    try:
        yield JobQueue(redis, RETENTION, max_waiting=MAX_WAITING)
    finally:
        await redis.aclose()
