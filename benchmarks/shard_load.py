"""Load on the shards of a store by its own scripts: submissions and steps, without HTTP and handlers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex

from benchmarks.peers.job_server import NOOP, RETENTION
from shared.store.client import connect
from shared.store.job_leases import Finished, JobLeases, Outcome, OutcomeKind
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from shared.store.submission import NewJob

SUBMITTERS = 32  # for each shard
LEASE = 60.0  # seconds
WARM_UP = 100  # jobs of each shard
TURN = 500  # jobs of a shard, then the next shard has its turn
QUEUES = ("default",)
DONE = Outcome(OutcomeKind.COMPLETED, b"null")


class ShardLoad:
    """The load on one shard."""

    def __init__(self, url: str, shard: int) -> None:
        self._runner = Multiplexer(connect(url, shard=shard), timeout=60, patience=60)
        self._queue = JobQueue(self._runner, RETENTION, max_waiting=100_000_000)
        self._leases = JobLeases(self._runner)
        self._worker_id = f"benchmark-{token_hex(4)}"
        self._steps = 0

    async def submit(self, jobs: int) -> None:
        """Submit jobs one by one, from several callers at once."""
        await asyncio.gather(
            *(self._submit(len(range(first, jobs, SUBMITTERS))) for first in range(SUBMITTERS))
        )

    async def submit_batches(self, jobs: int, size: int) -> None:
        """Submit jobs in batches, one after the other."""
        for start in range(0, jobs, size):
            await self._queue.submit_all([_job() for _ in range(min(size, jobs - start))])

    async def work_off(self, jobs: int, batch: int) -> None:
        """Claim and finish jobs, up to `batch` in each step, as a busy worker does."""
        finished: list[Finished] = []
        ended = 0
        while ended < jobs:
            self._steps += 1
            slots = min(batch, jobs - ended - len(finished))
            step = await self._leases.step(
                self._worker_id, self._steps, QUEUES, finished, slots=slots, lease=LEASE, retention=RETENTION
            )
            ended += sum(step.accepted)
            finished = [Finished(claim, DONE, job_type="noop") for claim in step.claims]
            if ended < jobs and not finished:
                raise RuntimeError(
                    f"The shard has no more jobs after {ended} of {jobs}: was its Redis emptied?"
                )

    async def aclose(self) -> None:
        await self._runner.aclose()

    async def _submit(self, jobs: int) -> None:
        for _ in range(jobs):
            await self._queue.submit(_job())


@asynccontextmanager
async def loads(url: str, shards: int) -> AsyncIterator[list[ShardLoad]]:
    """The loads of all shards behind a URL, whose scripts are loaded."""
    found = [ShardLoad(url, shard) for shard in range(shards)]
    try:
        await submit(found, WARM_UP * shards)
        await work_off(found, WARM_UP * shards, WARM_UP)
        yield found
    finally:
        for load in found:
            await load.aclose()


async def submit(found: Sequence[ShardLoad], jobs: int) -> None:
    """Submit jobs, as many to each shard, one shard at a time, so that servers share no processor."""
    for turn in _turns(jobs // len(found)):
        for load in found:
            await load.submit(turn)


async def work_off(found: Sequence[ShardLoad], jobs: int, batch: int) -> None:
    """Work off the jobs of all shards, one shard at a time."""
    for turn in _turns(jobs // len(found)):
        for load in found:
            await load.work_off(turn, batch)


def _turns(jobs: int) -> list[int]:
    return [min(TURN, jobs - start) for start in range(0, jobs, TURN)]


def _job() -> NewJob:
    return NewJob(NOOP, b'{"sent":0.0}', "benchmark")
