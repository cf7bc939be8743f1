"""Model hosts and their workers are killed while batches hold poison: no other job is charged for that."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import orjson

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, empty, exactly, figure
from chaos.direct_queue import direct_queue
from chaos.handlers.batched import BATCH_SIZE, BATCHED
from chaos.suite_options import SuiteOptions
from dev.service import Service
from dev.stack import wait_until
from shared.record import JobState
from shared.store.submission import NewJob
from worker.processes.protocol import PINNED

WORKERS, LEASE = 2, 2
JOBS, HOST_KILLS, WORKER_KILLS, POISON = 3000, 8, 3, 6
EVERY = 0.4
PATIENCE = 90.0
CODES = {"raise": "handler_error", "abort": "process_crashed", "hang": "job_timeout"}


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("model_hosts")
    count = options.scaled(JOBS, least=4 * BATCH_SIZE)
    hosts, workers = options.scaled(HOST_KILLS, least=2), options.scaled(WORKER_KILLS, least=1)
    kills = ["host"] * hosts + ["worker"] * workers
    rng.shuffle(kills)
    settings: dict[str, Any] = {
        "WORKER_QUEUES": "batched",
        "WORKER_CONCURRENCY": str(2 * BATCH_SIZE),
        "WORKER_LEASE_SECONDS": str(LEASE),
    }
    with chaos_service(workers=WORKERS, **settings) as service:
        alive = list(service.workers)
        jobs = asyncio.run(submit(service, count, rng))
        for victim in kills:
            time.sleep(EVERY * rng.uniform(0.5, 1.5))
            if victim == "host":
                kill_host(rng)
            else:
                alive.pop(rng.randrange(len(alive))).kill()
                alive.append(service.start_worker())
        found = records.settled(service.redis, list(jobs), seconds=PATIENCE)
    name = f"kill -9 of {hosts} model hosts and {workers} workers, {POISON} bad jobs"
    return [*check(name, jobs, found), figure(f"{name}: jobs", f"{count:,} in batches of {BATCH_SIZE}")]


async def submit(service: Service, count: int, rng: Random) -> dict[str, bytes]:
    """Submit jobs, some of which are poison; returns their params by id."""
    acts = dict(zip(rng.sample(range(count), POISON), [*CODES] * POISON, strict=False))
    new = [
        NewJob(
            BATCHED,
            orjson.dumps({"number": number, "act": acts.get(number, "none")}),
            "chaos",
        )
        for number in range(count)
    ]
    found = {}
    async with direct_queue(service.stack.redis_url) as queue:
        for first in range(0, count, 1000):
            part = new[first : first + 1000]
            for job, (record, _) in zip(part, await queue.submit_all(part), strict=True):
                found[record.job_id] = job.params
    return found


def host_processes() -> list[int]:
    """The processes of all model hosts that were started here."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if PINNED.encode() in words and b"worker.processes.child" in words:
                found.append(int(folder.name))
    return found


def kill_host(rng: Random) -> None:
    wait_until(host_processes, "a model host runs")
    with suppress(ProcessLookupError, IndexError):
        os.kill(rng.choice(host_processes()), signal.SIGKILL)


def check(name: str, jobs: Mapping[str, bytes], found: Mapping[str, records.Record]) -> list[Check]:
    """Check that the bad jobs failed, each for its own reason, and no other job was charged for them."""
    wrong, charged, bad = [], [], []
    for job_id, params in jobs.items():
        given, record = orjson.loads(params), found[job_id]
        codes = {error["code"] for error in orjson.loads(record.get("errors", "[]"))} - {"worker_lost"}
        if given["act"] != "none":
            if record.get("state") != JobState.FAILED or codes != {CODES[given["act"]]}:
                bad.append(f"{job_id} {given['act']}: {record.get('state')} {codes}")
            continue
        if record.get("state") != JobState.COMPLETED or record.get("result") != str(2 * given["number"]):
            wrong.append(f"{job_id}: {record.get('state')} {record.get('result')}")
        if codes:
            charged.append(f"{job_id}: {codes}")
    return [
        *records.check_ends(name, dict(found))[:1],
        empty(f"{name}: other jobs without their result", wrong),
        empty(f"{name}: other jobs charged for a bad one", charged),
        empty(f"{name}: bad jobs that did not fail for their own reason", bad),
        exactly(f"{name}: bad jobs", len([1 for params in jobs.values() if b'"none"' not in params]), POISON),
    ]
