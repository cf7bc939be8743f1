"""Workers are replaced one by one under load: no job is lost, and none is charged an attempt."""

import signal
import subprocess
import time

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly
from chaos.load_generator import LoadGenerator
from chaos.suite_options import SuiteOptions
from dev.service import WorkerProcess

WORKERS, RESTARTS, RATE, GRACE = 3, 20, 50, 1
PATIENCE = 10.0


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("rolling")
    restarts = options.scaled(RESTARTS, least=3)
    ends: list[tuple[float, int]] = []
    with chaos_service(workers=WORKERS, WORKER_GRACE_SECONDS=str(GRACE), WORKER_CONCURRENCY="30") as service:
        alive = list(service.workers)
        load = LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 2.0), rng=rng)
        with load:
            for _ in range(restarts):
                new = service.start_worker()
                new.wait_ready()
                ends.append(replace(alive.pop(0)))
                alive.append(new)
        found = records.settled(service.redis, load.accepted, seconds=40)
        starts = records.read_starts(service.stack.folder)
    charged = records.count_charged(found.values())
    released = sum(int(r.get("claims", 1)) - 1 for r in found.values())
    name = f"rolling restart × {restarts}"
    return [
        *records.check_ends(name, found),
        exactly(f"{name}: jobs charged an attempt", charged, 0, note=f" ({released} releases)"),
        exactly(f"{name}: exit codes other than 0", sum(code != 0 for _, code in ends), 0),
        at_most(f"{name}: longest exit", max(seconds for seconds, _ in ends), GRACE + 1.0, "s"),
        at_most(f"{name}: starts", sum(map(len, starts.values())), len(starts) + released),
    ]


def replace(worker: WorkerProcess) -> tuple[float, int]:
    """Stop a worker; returns the seconds it takes and its exit code, -9 if it had to be killed."""
    begin = time.monotonic()
    worker.send(signal.SIGTERM)
    try:
        code = worker.process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        worker.kill()
        code = -9
    return time.monotonic() - begin, code
