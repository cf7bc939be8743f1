"""The link to Redis is slow: large results are written and read at the first try, other requests go on."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chaos import records
from chaos.chaos_service import chaos_service, timed_read
from chaos.checks import Check, at_most, exactly, figure
from chaos.direct_queue import direct_queue
from chaos.handlers.make_data import MAKE_RESULT
from chaos.suite_options import SuiteOptions
from dev.forwarder import Forwarder, forwarding
from dev.percentiles import percentile
from dev.service import Service
from shared.store.submission import NewJob

RATE, SIZE, JOBS, LEASE = 5_000_000, 4_000_000, 10, 3
PATIENCE = 60.0
GONE_SECONDS = 2.0


def run(options: SuiteOptions) -> list[Check]:
    jobs = options.scaled(JOBS, least=3)
    settings: dict[str, Any] = {"WORKER_CONCURRENCY": str(jobs), "WORKER_LEASE_SECONDS": str(LEASE)}
    with forwarding(rate=RATE) as link, chaos_service(workers=1, link=link, **settings) as service:
        begin = time.monotonic()
        job_ids = asyncio.run(submit(service, jobs))
        found = records.settled(service.redis, job_ids, seconds=PATIENCE)
        written = time.monotonic() - begin
        answers, others = read_all(service, job_ids)
        gone = seconds_to_503(service, link)
        exited = service.stack.count_exited()
    name = f"{jobs} results of 4 MB at 5 MB/s"
    repeated = sum(record.get("claims") != "1" for record in found.values())
    return [
        *records.check_ends(name, found),
        exactly(f"{name}: jobs that needed a second attempt", repeated, 0),
        exactly(f"{name}: results read over the API", sum(status == 200 for _, status in answers), jobs),
        exactly(f"{name}: other requests refused meanwhile", sum(status != 200 for _, status in others), 0),
        at_most(f"{name}: 503 once the link is dead", gone, GONE_SECONDS, "s"),
        exactly(f"{name}: processes that exited", exited, 0),
        figure(f"{name}: all written", f"{written:.1f} s"),
        figure(f"{name}: other requests, p99", f"{percentile([s for s, _ in others], 99):.2f} s"),
    ]


async def submit(service: Service, jobs: int) -> list[str]:
    """Submit jobs with large results, past the slow link; returns their ids."""
    new = [NewJob(MAKE_RESULT, b'{"size":%d}' % SIZE, "chaos") for _ in range(jobs)]
    async with direct_queue(service.stack.admin_url) as queue:
        return [record.job_id for record, _ in await queue.submit_all(new)]


def read_all(service: Service, job_ids: list[str]) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    """Read all jobs; returns the seconds and status of each read, and those of small reads meanwhile."""
    small = service.submit("sleep", seconds=0)
    others = []
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: [timed_read(service, job_id) for job_id in job_ids])
        while not reading.done():
            others.append(timed_read(service, small))
        return reading.result(), others


def seconds_to_503(service: Service, link: Forwarder) -> float:
    """Seconds until a read is refused once the link passes no bytes; infinite if it is not refused."""
    link.rate = 1
    seconds, status = timed_read(service, "some-id")
    link.rate = RATE
    return seconds if status == 503 else float("inf")
