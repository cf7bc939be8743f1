"""The connection to Redis is cut at every command of a job's way: every job ends, and ends once."""

import asyncio
import time
from dataclasses import dataclass

import orjson

from chaos.checks import Check, at_most, exactly, figure
from chaos.direct_queue import direct_queue
from chaos.fault_proxy import Cut, FaultProxy
from chaos.records import Record, ended_more_than_once, is_done, read, read_starts
from chaos.service import chaos_service
from chaos.suite_options import SuiteOptions
from chaos.worker import PROGRESS
from dev.service import Service
from job_types.sleep.contract import SLEEP
from shared.store import redis_keys
from shared.store.job_queue import JobQueue
from shared.store.submission import NewJob

LEASE, JOB_SECONDS, PATIENCE = 3, 0.15, 12.0
MISSES = 2  # numbers in turn that no command had: the job's way is at its end
LONGEST_WAY = 40
COLD, REPORTING = "cold", "reporting"
# Connections that stand, ones that have to be made first, and jobs that report progress.
MODES: dict[str, dict[str, str]] = {"warm": {}, COLD: {}, REPORTING: {PROGRESS: "1"}}


@dataclass(frozen=True, slots=True)
class Point:
    """A cut, and what became of the job that it met and of the one after it."""

    where: str
    met: Record
    next: Record
    doubled: bool
    seconds: float


def run(options: SuiteOptions) -> list[Check]:
    with chaos_service(api=False) as service:
        points = asyncio.run(cut_everywhere(service, options))
        starts = read_starts(service.stack.folder)
    bad = [p.where for p in points if not is_done(p.met)]
    stuck = [p.where for p in points if p.next.get("state") != "completed"]
    again = [p.where for p in points if p.met.get("attempt") != "1" or p.met.get("claims") != "1"]
    doubles = [p.where for p in points if p.doubled]
    twice = ended_more_than_once([p.met for p in points if REPORTING not in p.where])
    commands = {p.where.rpartition(" ")[2] for p in points}
    name = f"{len(points)} cuts"
    return [
        exactly(f"{name}: jobs that did not end", len(bad), 0, note=_example(bad)),
        exactly(f"{name}: jobs that ended twice", len(twice), 0),
        exactly(
            f"{name}: submits with a key that made a second job", len(doubles), 0, note=_example(doubles)
        ),
        exactly(f"{name}: slots lost", len(stuck), 0, note=_example(stuck)),
        exactly(f"{name}: jobs claimed again", len(again), 0, note=_example(again)),
        exactly(f"{name}: jobs that ran twice", sum(len(found) > 1 for found in starts.values()), 0),
        at_most(f"{name}: longest, from submit to end", max(p.seconds for p in points), LEASE + 1.0, "s"),
        figure(f"{name}: commands that were cut", ", ".join(sorted(commands))),
    ]


def _example(places: list[str]) -> str:
    return f" ({'; '.join(places[:3])})" if places else ""


async def cut_everywhere(service: Service, options: SuiteOptions) -> list[Point]:
    """Every cut at every command, in every mode."""
    proxy = FaultProxy(service.stack.redis_port)
    url = f"redis://127.0.0.1:{await proxy.start()}/0"
    settings = {"REDIS_URL": url, "WORKER_CONCURRENCY": "1", "WORKER_LEASE_SECONDS": str(LEASE)}
    points = []
    try:
        async with direct_queue(url) as queue:
            for mode, special in MODES.items():
                worker = service.start_worker(**settings, **special)
                await asyncio.to_thread(worker.wait_ready)
                for cut in Cut:
                    points += await cut_along(service, proxy, queue, cut, mode, options)
                if not worker.alive:
                    raise RuntimeError("The worker exited; its log says why.")
                worker.kill()
    finally:
        await proxy.close()
    return points


async def cut_along(
    service: Service, proxy: FaultProxy, queue: JobQueue, cut: Cut, mode: str, options: SuiteOptions
) -> list[Point]:
    """One kind of cut at every command in turn, until a job ends before there are so many."""
    points: list[Point] = []
    stride = max(1, round(1 / options.scale))
    number, misses = options.rng(f"cuts {cut} {mode}").randint(1, stride), 0
    while misses < MISSES and number < LONGEST_WAY:
        if mode == COLD:
            service.redis.script_flush()
            proxy.drop()
        proxy.arm(number, cut)
        begin = time.monotonic()
        key, known = f"{mode} {cut} {number}", service.redis.zcard(redis_keys.INDEX)
        met = await one_job(service, queue, key)
        seconds, fired = time.monotonic() - begin, proxy.fired
        proxy.arm(0, cut)
        await one_job(service, queue, key)  # the client asks again: it brings the job that it has
        doubled = service.redis.zcard(redis_keys.INDEX) != known + 1
        misses = 0 if fired else misses + 1
        if fired:
            where = f"{mode}, {cut}, {number}: {fired.split()[0]}"
            points.append(Point(where, met, await one_job(service, queue), doubled, seconds))
        number += stride
    return points


async def one_job(service: Service, queue: JobQueue, key: str | None = None) -> Record:
    """A job's record once it has ended, or what it is when the time is over."""
    new = NewJob(SLEEP, orjson.dumps({"seconds": JOB_SECONDS}), "chaos", idempotency_key=key)
    job_id = (await queue.submit(new)).record.job_id
    end = time.monotonic() + PATIENCE
    while True:
        record = read(service.redis, [job_id])[job_id]
        if is_done(record) or time.monotonic() > end:
            return record
        await asyncio.sleep(0.01)
