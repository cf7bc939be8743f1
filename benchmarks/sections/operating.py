"""The price of open dashboards, and of cancelling 100,000 jobs at once, for all other work.

*Dashboards* are readers of `GET /events`, without a browser. *No-op* is the rate at which one worker with 10
slots works off a full queue. *Others* are `POST /jobs` and `GET /jobs/{id}` by turns on 4 connections. *Echo*
is `POST /jobs?wait=10` on one connection: until the client has the result.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any, cast

import uvloop
from redis import Redis

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.figures import Figures, ratio
from benchmarks.http_load import POST, measure_latency
from benchmarks.progress import failure_logged
from benchmarks.sections.waits import ECHO, OTHERS, QUIET
from benchmarks.slow_scripts import slow_scripts_recorded
from dev.json_request import json_request
from dev.markdown import markdown_table
from dev.stack import Stack, running
from shared.store import redis_keys

DASHBOARDS = 20
NOOPS = 60_000
CANCELLED = 100_000
SECONDS = 4.0
BATCH = 1000  # jobs that one request submits
EVENTS = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


def run(options: BenchmarkOptions) -> str:
    figures, seconds = Figures(), 1.0 if options.quick else SECONDS
    for _ in range(options.rounds):
        for dashboards in (0, DASHBOARDS):
            with failure_logged():
                measure_dashboards(figures, dashboards, options.jobs(NOOPS), seconds)
        with failure_logged():
            measure_cancel(figures, options.jobs(CANCELLED), seconds)
    return f"{_dashboards(figures)}\n\n{_cancel(figures)}"


def measure_dashboards(figures: Figures, dashboards: int, jobs: int, seconds: float) -> None:
    name = f"{dashboards} dashboards"
    with running(**QUIET) as stack, slow_scripts_recorded(stack.admin_url):
        submit(stack, jobs, {})
        figures.add(name, "no-op", uvloop.run(_beside(stack, dashboards, work_off(stack, jobs))))
        found = uvloop.run(_beside(stack, dashboards, _others(stack, seconds)))
        for percentile, value in found.items():
            figures.add(name, percentile, value)


def measure_cancel(figures: Figures, jobs: int, seconds: float) -> None:
    with running(workers=1, **QUIET) as stack, slow_scripts_recorded(stack.admin_url):
        submit(stack, jobs, {"delay_seconds": 3600, "labels": {"bulk": "yes"}})
        idle, busy, took = uvloop.run(_echo_beside_cancel(stack, seconds))
        for row, found in (("idle", idle), ("meanwhile", busy)):
            for percentile, value in found.items():
                figures.add(row, percentile, value)
        figures.add("cancel", "jobs", jobs)
        figures.add("cancel", "seconds", took)


def submit(stack: Stack, count: int, more: dict[str, Any]) -> None:
    for start in range(0, count, BATCH):
        job = {"type": "echo", "params": {"message": "hello"}, **more}
        json_request("POST", f"{stack.api_url}/jobs/batch", {"jobs": [job] * min(BATCH, count - start)})


async def _beside(stack: Stack, dashboards: int, work: Any) -> Any:
    """The result of some work, while dashboards are open."""
    readers = [asyncio.create_task(_read_events(stack.api_port)) for _ in range(dashboards)]
    try:
        return await work
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _read_events(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(EVENTS)
    with suppress(asyncio.CancelledError):
        while await reader.read(1 << 20):
            pass
    writer.close()


async def work_off(stack: Stack, jobs: int) -> float:
    """The rate at which a worker ends the jobs, from the first tenth to the last one."""
    stack.start_worker(WORKER_CONCURRENCY="10")
    with Redis.from_url(stack.admin_url) as redis:

        async def until(left: int) -> float:
            while cast(int, redis.zcard(redis_keys.QUEUE + "default")) > left:  # noqa: ASYNC110  # no event tells it
                await asyncio.sleep(0.005)
            return time.monotonic()

        begun = await until(jobs * 9 // 10)
        ended = await until(jobs // 10)
    return jobs * 0.8 / (ended - begun)


async def _others(stack: Stack, seconds: float) -> dict[str, float]:
    (job_id,) = (
        json_request("POST", f"{stack.api_url}/jobs", {"type": "echo", "params": {"message": 1}})["job_id"],
    )
    requests = [POST, f"GET /jobs/{job_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()]
    await measure_latency(stack.api_port, requests, OTHERS, 1.0)
    return await measure_latency(stack.api_port, requests, OTHERS, seconds)


async def _echo_beside_cancel(
    stack: Stack, seconds: float
) -> tuple[dict[str, float], dict[str, float], float]:
    await measure_latency(stack.api_port, [ECHO], 1, 1.0)
    idle = await measure_latency(stack.api_port, [ECHO], 1, seconds)
    cancelling = asyncio.create_task(asyncio.to_thread(_cancel_all, stack))
    busy = await measure_latency(stack.api_port, [ECHO], 1, seconds)
    return idle, busy, await cancelling


def _cancel_all(stack: Stack) -> float:
    begun, cursor = time.monotonic(), None
    while True:
        body = {"filter": {"labels": {"bulk": "yes"}}, "cursor": cursor}
        cursor = json_request("POST", f"{stack.api_url}/jobs/cancel", body)["next_cursor"]
        if cursor is None:
            return time.monotonic() - begun


def _dashboards(figures: Figures) -> str:
    rows = []
    base = "0 dashboards"
    for name in (base, f"{DASHBOARDS} dashboards"):
        cells = [name, figures.show(name, "no-op"), figures.spread(name, "no-op")]
        cells.append(ratio(figures.median(name, "no-op"), figures.median(base, "no-op")))
        for percentile in ("p50", "p99"):
            cells.append(figures.show(name, percentile, 2))
            cells.append(ratio(figures.median(name, percentile), figures.median(base, percentile)))
        rows.append(cells)
    return markdown_table(
        ["open", "no-op, jobs/s", "range", "÷", "others' p50, ms", "÷", "p99, ms", "÷"], rows
    )


def _cancel(figures: Figures) -> str:
    rows = [
        [name, *(figures.show(name, percentile, 2) for percentile in ("p50", "p99"))]
        for name in ("idle", "meanwhile")
    ]
    rows[1].append(ratio(figures.median("meanwhile", "p99"), figures.median("idle", "p99")))
    rows[0].append("1.00")
    jobs, seconds = figures.show("cancel", "jobs"), figures.show("cancel", "seconds", 1)
    took = f"{jobs} waiting jobs were cancelled in {seconds} s."
    return f"{took}\n\n{markdown_table(['echo', 'p50, ms', 'p99, ms', '÷'], rows)}"
