"""Workers are killed under load: no job is lost, and few run twice."""

import time
from collections import Counter
from itertools import pairwise
from typing import Any

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly, figure
from chaos.load_generator import LoadGenerator
from chaos.records import HandlerStart
from chaos.suite_options import SuiteOptions
from dev.percentiles import percentile

WORKERS, SLOTS, LEASE = 3, 10, 2
RATE, EVERY, SECONDS = 200, 2.0, 60


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("kills")
    settings: dict[str, Any] = {"WORKER_CONCURRENCY": str(SLOTS), "WORKER_LEASE_SECONDS": str(LEASE)}
    kills: dict[int, float] = {}
    with chaos_service(workers=WORKERS, **settings) as service:
        alive = list(service.workers)
        with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.1), rng=rng) as load:
            for _ in range(options.scaled(int(SECONDS / EVERY), least=3)):
                time.sleep(EVERY)
                victim = alive.pop(rng.randrange(len(alive)))
                kills[victim.pid] = victim.kill()
                alive.append(service.start_worker())
        found = records.settled(service.redis, load.accepted, seconds=30)
        starts = records.read_starts(service.stack.folder)
    runs = sum(map(len, starts.values()))
    again = recoveries(starts, kills)
    repeated = Counter((job_id, s.attempt) for job_id, every in starts.items() for s in every)
    name = f"kill -9 × {len(kills)}"
    return [
        *records.check_ends(name, found),
        exactly(f"{name}: attempts started twice", sum(n > 1 for n in repeated.values()), 0),
        at_most(f"{name}: executions", runs, len(starts) + len(kills) * SLOTS, note=f" ({len(again)} again)"),
        at_most(f"{name}: kill to next start, p99", percentile(again, 99), LEASE + 1.0, "s"),
        figure(f"{name}: submissions", f"{len(load.accepted):,} accepted, {load.refused} refused"),
    ]


def recoveries(starts: dict[str, list[HandlerStart]], kills: dict[int, float]) -> list[float]:
    """Seconds from each kill to the next start of each job that the dead worker ran."""
    return [
        after.at - kills[before.pid]
        for found in starts.values()
        for before, after in pairwise(found)
        if before.pid in kills
    ]
