"""Very many jobs: Redis keeps only documented keys, and a worker's memory stays constant."""

import asyncio
import time
from pathlib import Path
from typing import Any

from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, empty, exactly
from chaos.direct_queue import direct_queue
from chaos.suite_options import SuiteOptions
from dev.leftover_keys import find_leftovers
from dev.service import Service, WorkerProcess
from dev.stack import wait_until
from job_types.echo.contract import ECHO
from shared.record import JobState
from shared.store import redis_keys
from shared.store.submission import NewJob

JOBS, BATCH, MAX_WAITING = 100_000, 500, 3000
RETAIN, LEASE = 5, 1
GROWTH = 5.0  # percent
PATIENCE = 120.0


def run(options: SuiteOptions) -> list[Check]:
    jobs = options.scaled(JOBS // BATCH) * BATCH
    settings: dict[str, Any] = {
        "LOG_LEVEL": "WARNING",
        "WORKER_CONCURRENCY": "50",
        "WORKER_LEASE_SECONDS": str(LEASE),
    }
    with chaos_service(api=False, RETAIN_COMPLETED=str(RETAIN), **settings) as service:
        [worker] = service.start_workers(1)
        begin = time.monotonic()
        memory = asyncio.run(submit_all(service, worker, jobs))
        wait_until(lambda: not busy(service), "every job has ended", seconds=PATIENCE)
        rate = jobs / (time.monotonic() - begin)
        memory.append(resident(worker))
        count, leftovers = find_leftovers(service.redis)
        completed = jobs - unfinished(service)
        wait_until(lambda: retired(service), "the records retire", seconds=RETAIN + PATIENCE)
        rest, leftovers_after = find_leftovers(service.redis)
    half = memory[len(memory) // 2]
    growth = 100 * (max(memory[len(memory) // 2 :]) / half - 1)
    name = f"{jobs:,} jobs"
    return [
        exactly(f"{name}: ended", completed, jobs, note=f" ({rate:,.0f} a second)"),
        empty(f"{name}: keys that should not be there", leftovers, note=f" of {count:,}"),
        empty(f"{name}: the same after retention", leftovers_after, note=f" of {rest}"),
        at_most(f"{name}: growth of the worker's memory, second half", growth, GROWTH, "%", note=_mib(half)),
    ]


async def submit_all(service: Service, worker: WorkerProcess, jobs: int) -> list[int]:
    """Submit in batches, MAX_WAITING jobs ahead at most; returns the worker's memory at each batch."""
    memory = []
    async with direct_queue(service.stack.redis_url) as queue:
        for _ in range(jobs // BATCH):
            while service.redis.zcard(redis_keys.QUEUE + ECHO.queue) > MAX_WAITING:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await asyncio.gather(
                *(queue.submit(NewJob(ECHO, b'{"message":1}', "chaos")) for _ in range(BATCH))
            )
            memory.append(resident(worker))
    return memory


def unfinished(service: Service) -> int:
    keys = [redis_keys.INDEX_OF + JobState.FAILED, redis_keys.INDEX_OF + JobState.CANCELLED]
    keys += [redis_keys.QUEUE + ECHO.queue, redis_keys.LEASES + ECHO.queue]
    return sum(service.redis.zcard(key) for key in keys)


def busy(service: Service) -> bool:
    """Whether a job waits or runs, or a wake-up is still to be taken."""
    return bool(unfinished(service) or service.redis.llen(redis_keys.WAKE + ECHO.queue))


def retired(service: Service) -> bool:
    return bool(service.redis.zcard(redis_keys.INDEX) == 0)


def resident(worker: WorkerProcess) -> int:
    """The worker's resident memory in bytes, from /proc."""
    for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc shows no memory of the worker; run this scenario on Linux.")


def _mib(size: int) -> str:
    return f" of {size / 2**20:.0f} MiB"
