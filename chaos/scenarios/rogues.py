"""Handlers break the rules: their jobs fail with the right code, and other jobs are hardly slower."""

import asyncio
import json
import time
from threading import Event, Thread

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly, examples, figure
from chaos.direct_queue import direct_queue
from chaos.handlers.rogue_handlers import CODES, JOB_TYPES
from chaos.load_generator import LoadGenerator
from chaos.records import Record
from chaos.suite_options import SuiteOptions
from dev.percentiles import percentile
from dev.service import Service
from shared.store.submission import NewJob

WORKERS, LEASE, RATE = 3, 2, 50
QUIET_SECONDS, ROUNDS, PAUSE = 8, 3, 1.5
OTHERS = sorted(
    JOB_TYPES.keys() - {"poison"}
)  # `poison` kills its neighbours' attempts too, so it runs alone, after the others


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("rogues")
    rounds = options.scaled(ROUNDS)
    rogues: dict[str, str] = {}
    bad: dict[str, Record] = {}
    with chaos_service(workers=WORKERS, WORKER_LEASE_SECONDS=str(LEASE)) as service:
        with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.1), rng=rng) as load:
            time.sleep(max(2.0, QUIET_SECONDS * options.scale))
            quiet = list(load.accepted)
            with Supervisor(service) as supervisor:
                for _ in range(rounds):
                    for names in (rng.sample(OTHERS, k=len(OTHERS)), ["poison"]):
                        new = asyncio.run(submit(service, names))
                        rogues |= new
                        bad |= records.settled(service.redis, list(new), seconds=30)
        found = records.settled(service.redis, load.accepted, seconds=20)
        waits = start_waits(service, found)
    beside = [waits[job_id] for job_id in load.accepted[len(quiet) :] if job_id in waits]
    alone = [waits[job_id] for job_id in quiet if job_id in waits]
    odd = [f"{rogues[i]}: {ending(r)}" for i, r in bad.items() if ending(r) != CODES[rogues[i]]]
    name = f"{len(rogues)} rogues"
    return [
        exactly(f"{name}: failed with the right code", len(bad) - len(odd), len(bad), note=examples(odd)),
        *records.check_ends(f"{name}: neighbours", found),
        at_most(
            f"{name}: neighbours' submit to start, p99, against alone",
            percentile(beside, 99) / percentile(alone, 99),
            2.0,
            "x",
            note=f" (p50 and p99: alone {_both(alone)}; beside {_both(beside)})",
        ),
        figure(f"{name}: workers replaced", str(supervisor.replaced)),
    ]


class Supervisor:
    """Starts a worker for each that dies, as a supervisor does in production, within a `with` block."""

    def __init__(self, service: Service) -> None:
        self.replaced = 0
        self._service = service
        self._end = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Supervisor":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._end.wait(0.1):
            dead = sum(not worker.alive for worker in self._service.workers)
            for _ in range(dead - self.replaced):
                self._service.start_worker()
                self.replaced += 1


async def submit(service: Service, names: list[str]) -> dict[str, str]:
    """Submit a job of each rogue type; returns their types by job id."""
    found = {}
    async with direct_queue(service.stack.redis_url) as queue:
        for name in names:
            record, _ = await queue.submit(NewJob(JOB_TYPES[name], b"{}", "chaos"))
            found[record.job_id] = name
            await asyncio.sleep(PAUSE / len(JOB_TYPES))
    return found


def start_waits(service: Service, found: dict[str, Record]) -> dict[str, float]:
    """Seconds from the submission to the first start of the handler, by job."""
    starts = records.read_starts(service.stack.folder)
    return {i: starts[i][0].at - int(r["created_at"]) / 1000 for i, r in found.items() if r and i in starts}


def ending(record: Record) -> str:
    """The code of the last error of a failed job, else its state."""
    if record.get("state") != "failed":
        return record.get("state", "missing")
    return str(json.loads(record["errors"])[-1]["code"])


def _both(waits: list[float]) -> str:
    return f"{percentile(waits, 50) * 1000:.1f} ms, {percentile(waits, 99) * 1000:.1f} ms"
