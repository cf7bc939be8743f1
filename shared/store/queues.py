"""Queues: their states, and their pauses."""

import asyncio
from collections.abc import Collection
from typing import Any, NamedTuple

import orjson

from shared.record import JobState
from shared.store import scripts
from shared.store.client import Runner
from shared.store.redis_calls import RedisCalls
from shared.store.workers import LiveWorker, live_workers

ENDED = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


class Pause(NamedTuple):
    """A pause of a queue: its caller, None on a server without keys; its time in milliseconds; its reason."""

    by: str | None
    at: int
    reason: str


class QueueState(NamedTuple):
    """The jobs and workers of one queue.

    Attributes:
        ready: jobs that are due.
        scheduled: jobs that wait for their time.
        oldest_wait: seconds for which the first of the due jobs has been due.
        workers: live workers that serve the queue.
        concurrency: jobs that these can run at once, together.
        ended: jobs that ended in the last minute, by state.
    """

    name: str
    ready: int
    scheduled: int
    running: int
    oldest_wait: float
    pause: Pause | None
    ended: dict[JobState, int]
    workers: int
    concurrency: int


class Queues:
    """Reads, pauses and resumes queues. Raises QueueUnavailable while Redis can't serve it.

    Args:
        runner: sends commands.
        names: queues that are shown even if they hold no job.
    """

    def __init__(self, runner: Runner, names: Collection[str]) -> None:
        self._redis = RedisCalls(runner)
        self._names = names

    async def all(self) -> list[QueueState]:
        """The queues of the job types and of live workers, those that are paused or hold jobs, by name."""
        workers = await live_workers(self._redis)
        served = {queue for worker in workers for queue in worker.queues}
        return await self._states(served.union(self._names), workers)

    async def one(self, name: str) -> QueueState:
        """A queue; an unknown one has no jobs and no workers."""
        workers, [now, found, *_] = await asyncio.gather(
            live_workers(self._redis), self._redis.run(scripts.QUEUES, name)
        )
        return _state(now, workers, *found)

    async def pause(self, name: str, by: str | None, reason: str) -> QueueState:
        """Pause a queue: when this returns, no job of it is claimed any more. Running jobs go on."""
        await self._redis.run(scripts.PAUSE, name, by or "", reason)
        return await self.one(name)

    async def resume(self, name: str) -> QueueState:
        """Let the jobs of a queue be claimed again."""
        await self._redis.run(scripts.RESUME, name)
        return await self.one(name)

    async def _states(self, names: Collection[str], workers: list[LiveWorker]) -> list[QueueState]:
        now, *found = await self._redis.run(scripts.QUEUES, *names)
        return sorted(_state(now, workers, *words) for words in found)


def _state(now: int, workers: list[LiveWorker], name: bytes, *words: Any) -> QueueState:
    ready, scheduled, running, oldest, pause, *ended = words
    queue = name.decode()
    serving = [worker for worker in workers if queue in worker.queues]
    return QueueState(
        queue,
        ready,
        scheduled,
        running,
        max(now - float(oldest), 0) / 1000 if oldest else 0.0,
        _pause(pause) if pause else None,
        dict(zip(ENDED, ended, strict=True)),
        len(serving),
        sum(worker.slots for worker in serving),
    )


def _pause(stored: bytes) -> Pause:
    pause = orjson.loads(stored)
    return Pause(pause["by"] or None, int(pause["at"]), pause["reason"])
