"""Workers freeze past their leases and thaw: their late outcomes change nothing."""

import signal
import time
from random import Random

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_least, exactly
from chaos.records import Record
from chaos.suite_options import SuiteOptions
from dev.service import Service, WorkerProcess
from dev.stack import wait_until

WORKERS, SLOTS, FROZEN, FREEZES = 10, 2, 5, 100
JOB_SECONDS = 0.4
REFUSED = ("outcome refused: the lease was lost", "lease lost; the attempt is discarded")


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("freezes")
    rounds = options.scaled(FREEZES // FROZEN, least=2)
    late, refused, overwritten, every = 0, 0, 0, list[Record]()
    with chaos_service(workers=WORKERS, WORKER_CONCURRENCY=str(SLOTS), WORKER_LEASE_SECONDS="1") as service:
        names = {worker.worker_id: worker for worker in service.workers}
        for _ in range(rounds):
            held, before, after = freeze(service, names, rng)
            late += sum(len(jobs) for jobs in held.values())
            refused += sum(len(jobs & refusals(names[name])) for name, jobs in held.items())
            overwritten += sum(before[job_id] != after[job_id] for job_id in before)
            every += after.values()
        dead = sum(not worker.alive for worker in service.workers)
    name = f"SIGSTOP past the lease × {rounds * FROZEN}"
    return [
        at_least(f"{name}: late outcomes", late, 1),
        exactly(f"{name}: late outcomes refused", refused, late),
        exactly(f"{name}: records that changed after the thaw", overwritten, 0, note=f" of {len(every)}"),
        exactly(f"{name}: jobs that did not end", sum(not records.is_done(record) for record in every), 0),
        exactly(f"{name}: jobs that ended twice", len(records.ended_more_than_once(every)), 0),
        exactly(f"{name}: workers that exited", dead, 0),
    ]


def freeze(
    service: Service, names: dict[str, WorkerProcess], rng: Random
) -> tuple[dict[str, set[str]], dict[str, Record], dict[str, Record]]:
    """Freeze some workers; returns the jobs they held, and all records before and after the thaw."""
    wait_until(lambda: len(service.worker_pids()) == WORKERS, "every worker is back")
    ids = [service.submit("sleep", seconds=JOB_SECONDS) for _ in range(WORKERS * SLOTS)]
    time.sleep(0.05)
    running = [r["worker"] for r in records.read(service.redis, ids).values() if r["state"] == "running"]
    frozen = rng.sample(sorted(set(running)), k=min(FROZEN, len(set(running))))
    try:
        for name in frozen:
            names[name].send(signal.SIGSTOP)
        time.sleep(0.1)  # for the commands that are on their way to Redis
        state = records.read(service.redis, ids)
        held = {name: {i for i, r in state.items() if _runs_on(r, name)} for name in frozen}
        before = records.settled(service.redis, ids, seconds=10)
    finally:
        for name in frozen:
            names[name].send(signal.SIGCONT)
    end = time.monotonic() + 5
    while time.monotonic() < end and any(jobs - refusals(names[name]) for name, jobs in held.items()):
        time.sleep(0.05)
    return held, before, records.read(service.redis, ids)


def refusals(worker: WorkerProcess) -> set[str]:
    """The jobs whose late outcome was refused, from the worker's log."""
    return {line["job_id"] for line in worker.lines if line["event"] in REFUSED}


def _runs_on(record: Record, name: str) -> bool:
    return record["state"] == "running" and record["worker"] == name
