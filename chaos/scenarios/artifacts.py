"""Workers are killed while they write files: no partial file is served, and no orphan stays in the store."""

import asyncio
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, exactly, figure
from chaos.direct_queue import direct_queue
from chaos.handlers.make_data import FILES, MAKE_FILES, digest
from chaos.suite_options import SuiteOptions
from dev.service import Service
from dev.stack import wait_until
from shared.store import redis_keys
from shared.store.submission import NewJob

WORKERS, SLOTS, LEASE, SWEEP = 2, 4, 2, 1
JOBS, KILLS, EVERY = 120, 10, 0.7
PATIENCE = 60.0


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("artifacts")
    jobs, kills = options.scaled(JOBS), options.scaled(KILLS, least=2)
    settings: dict[str, Any] = {
        "WORKER_CONCURRENCY": str(SLOTS),
        "WORKER_LEASE_SECONDS": str(LEASE),
        "WORKER_SWEEP_SECONDS": str(SWEEP),
    }
    with chaos_service(workers=WORKERS, **settings) as service:
        alive = list(service.workers)
        seeds = asyncio.run(submit(service, jobs))
        for _ in range(kills):
            time.sleep(EVERY * rng.uniform(0.5, 1.5))
            alive.pop(rng.randrange(len(alive))).kill()
            alive.append(service.start_worker())
        found = records.settled(service.redis, list(seeds), seconds=PATIENCE)
        repeated = sum(int(record.get("claims", 0)) > 1 for record in found.values())
        served = sum(count_whole(service, job_id, seed) for job_id, seed in seeds.items())
        needed = {f"{job_id}/{record['claims']}" for job_id, record in found.items()}
        orphans = left_after_sweep(service, needed)
        service.redis.delete(*(redis_keys.RECORD + job_id for job_id in seeds))
        rest = left_after_sweep(service, set())
    name = f"kill -9 × {kills} while {jobs} jobs write files"
    return [
        *records.check_ends(name, found),
        exactly(f"{name}: files served whole", served, jobs * FILES, note=f" ({repeated} jobs ran again)"),
        exactly(f"{name}: orphans of claims after the sweep", len(orphans), 0),
        exactly(f"{name}: files after the records are gone", len(rest), 0),
        figure(f"{name}: workers", f"{WORKERS} with {SLOTS} slots each"),
    ]


async def submit(service: Service, jobs: int) -> dict[str, int]:
    """Submit jobs that make files; returns their seeds by job id."""
    new = [NewJob(MAKE_FILES, b'{"seed":%d}' % seed, "chaos") for seed in range(jobs)]
    async with direct_queue(service.stack.redis_url) as queue:
        return {record.job_id: seed for seed, (record, _) in enumerate(await queue.submit_all(new))}


def count_whole(service: Service, job_id: str, seed: int) -> int:
    """The number of a job's files that are served with the right bytes."""
    record = service.http.get(f"{service.stack.api_url}/jobs/{job_id}").json()
    whole = 0
    for artifact in record["artifacts"]:
        answer = service.http.get(f"{service.stack.api_url}{artifact['url']}")
        wanted = digest(seed, int(artifact["name"].removesuffix(".bin")))
        whole += answer.status_code == 200 and sha256(answer.content).hexdigest() == wanted
    return whole


def left_after_sweep(service: Service, needed: set[str]) -> set[str]:
    """The folders in the store, by job and claim, that are not needed and survive the sweep."""
    folder = Path(service.stack.folder) / "artifacts" / "jobs"

    def found() -> set[str]:
        there = set()
        for job in folder.iterdir():
            with suppress(FileNotFoundError):  # the sweep was quicker
                there |= {f"{job.name}/{claim.name}" for claim in job.iterdir()}
        return there - needed

    try:
        wait_until(lambda: not found(), "the sweep", seconds=10 * SWEEP)
    except TimeoutError:
        return found()
    return set()
