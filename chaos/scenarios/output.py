"""Workers and the API are killed while clients read output: each reader gets the last run whole, and once."""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chaos.chaos_service import chaos_service
from chaos.checks import Check, empty, exactly, figure
from chaos.suite_options import SuiteOptions
from client import Client, OutputChunk, Retries
from dev.service import Service

WORKERS, SLOTS, LEASE = 2, 20, 2
JOBS, WORKER_KILLS, API_KILLS = 40, 4, 3
TOKENS, PACE = 200, 40.0
EVERY = 1.0
RETRIES = Retries(most=50, longest=0.5)


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("output")
    count = options.scaled(JOBS, least=8)
    workers, apis = options.scaled(WORKER_KILLS, least=1), options.scaled(API_KILLS, least=1)
    kills = ["worker"] * workers + ["api"] * apis
    rng.shuffle(kills)
    settings: dict[str, Any] = {"WORKER_CONCURRENCY": str(SLOTS), "WORKER_LEASE_SECONDS": str(LEASE)}
    with chaos_service(workers=WORKERS, **settings) as service, ThreadPoolExecutor(count) as pool:
        alive = list(service.workers)
        ids = [submit(service, seed) for seed in range(count)]
        readers = [pool.submit(read, service, job_id) for job_id in ids]
        for victim in kills:
            time.sleep(EVERY * rng.uniform(0.5, 1.5))
            if victim == "worker":
                alive.pop(rng.randrange(len(alive))).kill()
                alive.append(service.start_worker())
            else:
                service.restart_api()
        found = zip(ids, [reader.result() for reader in readers], strict=True)
        faults = [f"{job_id}: {fault}" for job_id, fault in found if fault]
        again = sum(service.job(job_id)["attempt"] > 1 for job_id in ids)
    name = f"kill -9 of {workers} workers, {apis} restarts of the API, {count} jobs stream"
    return [
        empty(f"{name}: readers without the whole output", faults),
        exactly(f"{name}: readers", len(readers), count, note=f" ({again} jobs ran again)"),
        figure(f"{name}: chunks", f"{TOKENS} of each job"),
    ]


def submit(service: Service, seed: int) -> str:
    return service.submit("generate", prompt="A job", max_tokens=TOKENS, tokens_per_second=PACE, seed=seed)


def read(service: Service, job_id: str) -> str:
    """Read the output of a job; returns the fault, or an empty text."""
    runs: dict[int, list[OutputChunk]] = defaultdict(list)
    with Client(service.stack.api_url, retries=RETRIES) as client:
        for chunk in client.output(job_id):
            runs[chunk.run].append(chunk)
        result = client.get(job_id).result
    for run, chunks in runs.items():
        if [chunk.seq for chunk in chunks] != list(range(1, len(chunks) + 1)):
            return f"run {run} has chunks lost or doubled"
    last = "".join(map(str, runs[max(runs)])) if runs else ""
    return "" if last == result["text"] else f"the last of {len(runs)} runs is not the result"
