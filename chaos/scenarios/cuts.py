"""The connection to Redis is cut at every command of a job's life: every job ends, and ends once."""

import asyncio
import time
from dataclasses import dataclass

import orjson

from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, empty, exactly, figure
from chaos.direct_queue import direct_queue
from chaos.fault_proxy import Cut, FaultProxy
from chaos.records import Record, ended_more_than_once, is_done, read, read_starts
from chaos.suite_options import SuiteOptions
from chaos.worker import PROGRESS
from dev.service import Service
from job_types.sleep.contract import SLEEP
from shared.store import redis_keys
from shared.store.job_queue import JobQueue
from shared.store.submission import NewJob

LEASE, JOB_SECONDS, PATIENCE = 3, 0.15, 12.0
MISSES = 2  # jobs in turn without that many commands: all commands of a job have been cut
MAX_COMMANDS = 40
COLD, REPORTING = "cold", "reporting"
# Open connections; connections that must be made first; jobs that report progress.
MODES: dict[str, dict[str, str]] = {"warm": {}, COLD: {}, REPORTING: {PROGRESS: "1"}}


@dataclass(frozen=True, slots=True)
class CutResult:
    """A cut, the record of the job that it hit, and that of the next job.

    Attributes:
        where: the mode, the kind of cut, and the command.
        doubled: whether the repeated submission made a second job.
        seconds: from the submission of the hit job to its end.
    """

    where: str
    hit: Record
    next: Record
    doubled: bool
    seconds: float


def run(options: SuiteOptions) -> list[Check]:
    with chaos_service(api=False) as service:
        results = asyncio.run(cut_everywhere(service, options))
        starts = read_starts(service.stack.folder)
    bad = [p.where for p in results if not is_done(p.hit)]
    stuck = [p.where for p in results if p.next.get("state") != "completed"]
    again = [p.where for p in results if p.hit.get("attempt") != "1" or p.hit.get("claims") != "1"]
    doubles = [p.where for p in results if p.doubled]
    twice = ended_more_than_once([p.hit for p in results if REPORTING not in p.where])
    commands = {p.where.rpartition(" ")[2] for p in results}
    name = f"{len(results)} cuts"
    return [
        empty(f"{name}: jobs that did not end", bad),
        exactly(f"{name}: jobs that ended twice", len(twice), 0),
        empty(f"{name}: second jobs under one Idempotency-Key", doubles),
        empty(f"{name}: slots lost", stuck),
        empty(f"{name}: jobs claimed again", again),
        exactly(f"{name}: jobs that ran twice", sum(len(found) > 1 for found in starts.values()), 0),
        at_most(f"{name}: longest, from submit to end", max(p.seconds for p in results), LEASE + 1.0, "s"),
        figure(f"{name}: commands that were cut", ", ".join(sorted(commands))),
    ]


async def cut_everywhere(service: Service, options: SuiteOptions) -> list[CutResult]:
    """Cut at every command, in every way and mode."""
    proxy = FaultProxy(service.stack.redis_port)
    url = f"redis://127.0.0.1:{await proxy.start()}/0"
    settings = {"REDIS_URL": url, "WORKER_CONCURRENCY": "1", "WORKER_LEASE_SECONDS": str(LEASE)}
    results = []
    try:
        async with direct_queue(url) as queue:
            for mode, special in MODES.items():
                worker = service.start_worker(**settings, **special)
                await asyncio.to_thread(worker.wait_ready)
                for cut in Cut:
                    results += await cut_along(service, proxy, queue, cut, mode, options)
                if not worker.alive:
                    raise RuntimeError("The worker exited; its log says why.")
                worker.kill()
    finally:
        await proxy.close()
    return results


async def cut_along(
    service: Service, proxy: FaultProxy, queue: JobQueue, cut: Cut, mode: str, options: SuiteOptions
) -> list[CutResult]:
    """Cut in one way at every command in turn, until a job has fewer commands."""
    results: list[CutResult] = []
    stride = max(1, round(1 / options.scale))
    number, misses = options.rng(f"cuts {cut} {mode}").randint(1, stride), 0
    while misses < MISSES and number < MAX_COMMANDS:
        if mode == COLD:
            service.redis.script_flush()
            proxy.drop()
        proxy.arm(number, cut)
        begin = time.monotonic()
        key, known = f"{mode} {cut} {number}", service.redis.zcard(redis_keys.INDEX)
        hit = await one_job(service, queue, key)
        seconds, fired = time.monotonic() - begin, proxy.fired
        proxy.arm(0, cut)
        await one_job(service, queue, key)  # the repeated submission must answer with the same job
        doubled = service.redis.zcard(redis_keys.INDEX) != known + 1
        misses = 0 if fired else misses + 1
        if fired:
            where = f"{mode}, {cut}, {number}: {fired.split()[0]}"
            results.append(CutResult(where, hit, await one_job(service, queue), doubled, seconds))
        number += stride
    return results


async def one_job(service: Service, queue: JobQueue, key: str | None = None) -> Record:
    """Submit a job; returns its record once it has ended, or after PATIENCE."""
    new = NewJob(SLEEP, orjson.dumps({"seconds": JOB_SECONDS}), "chaos", idempotency_key=key)
    job_id = (await queue.submit(new)).record.job_id
    end = time.monotonic() + PATIENCE
    while True:
        record = read(service.redis, [job_id])[job_id]
        if is_done(record) or time.monotonic() > end:
            return record
        await asyncio.sleep(0.01)
