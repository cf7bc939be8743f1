"""Clients that wait for jobs, and clients that stream them, all held by one API process.

*Others* are `POST /jobs` and `GET /jobs/{id}` by turns on 4 connections, before and while clients are held.
Then the connection that listens for changes is cut, and a worker runs the jobs. A client that does not get
the end of its job is *lost*. *Echo* is `POST /jobs?wait=10` on an idle service, until the client has the
result.
"""

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvloop
from redis import Redis

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.figures import Figures, ratio
from benchmarks.held_clients import count_uninformed, open_clients
from benchmarks.http_load import POST, measure_latency
from benchmarks.progress import failure_logged
from benchmarks.slow_scripts import slow_scripts_recorded
from dev.json_request import json_request
from dev.markdown import markdown_table
from dev.stack import Stack, running, wait_until

QUIET: dict[str, Any] = {
    "API_QUOTA_STREAMS_AT_ONCE": "0",  # all clients come from one address
    "API_QUOTA_WAITS_AT_ONCE": "0",
    "LOG_LEVEL": "WARNING",
    "QUEUE_MAX_WAITING": "10000000",
    "UVICORN_LOG_LEVEL": "warning",
    "UVICORN_ACCESS_LOG": "false",
}
ECHO = POST.replace(b"/jobs", b"/jobs?wait=10", 1)
OTHERS = 4  # connections
SECONDS = 3.0
PATIENCE = 20.0
BATCH = 1000  # jobs that one request submits
MAX_FILES = 65_536


@dataclass(frozen=True)
class Crowd:
    """The number of clients that wait and of clients that stream, each with its own job."""

    waits: int
    streams: int

    @property
    def size(self) -> int:
        return self.waits + self.streams

    @property
    def name(self) -> str:
        return f"{self.waits:,} waits, {self.streams:,} streams"


def run(options: BenchmarkOptions) -> str:
    figures, seconds = Figures(), 1.0 if options.quick else SECONDS
    crowds = [Crowd(options.jobs(5000), options.jobs(1000)), Crowd(options.jobs(10_000), 0)]
    with many_files():
        for _ in range(options.rounds):
            measure_echo(figures, seconds)
            for crowd in crowds:
                measure(figures, crowd, seconds)
    head = ["held", "API's memory, MB", "connections that listen", "lost"]
    head += ["others' p50, ms", "held", "÷", "others' p99, ms", "held", "÷"]
    echo = ", ".join(f"{name} {figures.show('echo', name, 1)} ms" for name in ("p50", "p99"))
    return f"{markdown_table(head, [_row(figures, crowd.name) for crowd in crowds])}\n\nEcho: {echo}."


def measure_echo(figures: Figures, seconds: float) -> None:
    with failure_logged(), running(workers=1, **QUIET) as stack:
        uvloop.run(measure_latency(stack.api_port, [ECHO], 1, 1.0))
        for name, value in uvloop.run(measure_latency(stack.api_port, [ECHO], 1, seconds)).items():
            figures.add("echo", name, value)


def measure(figures: Figures, crowd: Crowd, seconds: float) -> None:
    with failure_logged(), running(**QUIET) as stack, slow_scripts_recorded(stack.admin_url):
        with Redis.from_url(stack.admin_url) as redis:
            found = uvloop.run(_measure(stack, redis, crowd, seconds))
        for column, value in found.items():
            figures.add(crowd.name, column, value)


async def _measure(stack: Stack, redis: Redis, crowd: Crowd, seconds: float) -> dict[str, float]:
    jobs = submit(stack, crowd.size)
    requests = [
        POST,
        *(f"GET /jobs/{job_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for job_id in jobs[:1]),
    ]
    await measure_latency(stack.api_port, requests, OTHERS, 1.0)
    idle = await measure_latency(stack.api_port, requests, OTHERS, seconds)
    held = await open_clients(stack.api_port, jobs[: crowd.waits], jobs[crowd.waits :])
    all_listen(redis, crowd)
    busy = await measure_latency(stack.api_port, requests, OTHERS, seconds)
    found = {"MB": memory(stack), "connections": len(cast(list[Any], redis.client_list(_type="pubsub")))}
    redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
    all_listen(redis, crowd)
    stack.start_worker(WORKER_CONCURRENCY="100")
    found["lost"] = await count_uninformed(held, PATIENCE)
    found |= {f"idle {name}": value for name, value in idle.items()}
    return found | {f"held {name}": value for name, value in busy.items()}


def all_listen(redis: Redis, crowd: Crowd) -> None:
    """Wait until the API listens for the changes of every job."""
    wait_until(
        lambda: len(cast(list[bytes], redis.pubsub_channels())) == crowd.size, "the API listens for every job"
    )


def submit(stack: Stack, count: int) -> list[str]:
    """Submit `count` jobs; returns their ids."""
    ids: list[str] = []
    while len(ids) < count:
        jobs = [{"type": "echo", "params": {"message": "hello"}}] * min(BATCH, count - len(ids))
        answer = json_request("POST", f"{stack.api_url}/jobs/batch", {"jobs": jobs})
        ids += [record["job_id"] for record in answer["items"]]
    return ids


def memory(stack: Stack) -> float:
    """Resident memory of the API in MB; 0 where there is no /proc."""
    status = Path(f"/proc/{stack.api.pid if stack.api else 0}/status")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1000 if found else 0.0


@contextmanager
def many_files() -> Iterator[None]:
    """Raise the limit of open files of this process and its children, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _row(figures: Figures, name: str) -> list[str]:
    cells = [name, *(figures.show(name, column) for column in ("MB", "connections", "lost"))]
    for percentile in ("p50", "p99"):
        idle, held = f"idle {percentile}", f"held {percentile}"
        cells += [figures.show(name, idle, 1), figures.show(name, held, 1)]
        cells.append(ratio(figures.median(name, held), figures.median(name, idle)))
    return cells
