"""Throughput: the number of jobs that end in a second, from which waits are estimated."""

import asyncio
import time
from math import ceil

from shared.store import redis_keys
from shared.store.redis_calls import RedisCalls, milliseconds
from shared.store.retention import Retention

WINDOW_SECONDS = 60.0
KEPT_SECONDS = 1.0  # for this time one measurement serves all requests
MAX_RETRY_AFTER = 60


class Throughput:
    """The rate at which jobs have ended in the last minute, read from Redis once a second at most."""

    def __init__(self, redis: RedisCalls, retention: Retention) -> None:
        self._redis = redis
        self._retention = retention
        self._rate = 0.0
        self._kept_until = 0.0

    async def jobs_per_second(self) -> float:
        if time.monotonic() > self._kept_until:
            self._kept_until = time.monotonic() + KEPT_SECONDS
            self._rate = await self._ended_lately() / WINDOW_SECONDS
        return self._rate

    async def retry_after(self, jobs: float) -> int:
        """Whole seconds, up to MAX_RETRY_AFTER, until so many jobs will have ended."""
        rate = await self.jobs_per_second()
        return min(max(ceil(jobs / rate), 1), MAX_RETRY_AFTER) if rate else MAX_RETRY_AFTER

    async def _ended_lately(self) -> int:
        """The number of jobs that have ended within the window: an index of ended jobs is by their expiry."""
        begin = await self._redis.now() - milliseconds(WINDOW_SECONDS)
        counts = [
            self._redis.command("ZCOUNT", redis_keys.INDEX_OF + state, begin + milliseconds(kept), "+inf")
            for state, kept in self._retention._asdict().items()
        ]
        return sum(await asyncio.gather(*counts))
