"""Workers are killed under load: nothing is lost, and little is done twice."""

import time
from collections import Counter
from itertools import pairwise
from typing import Any

from chaos import records
from chaos.load import Load
from chaos.records import Start
from chaos.rows import Options, Row, at_most, exactly, quantile, report
from chaos.site import site

WORKERS, SLOTS, LEASE = 3, 10, 2
RATE, EVERY, SECONDS = 200, 2.0, 60


def run(options: Options) -> list[Row]:
    chance = options.chance("kills")
    settings: dict[str, Any] = {"WORKER_SLOTS": str(SLOTS), "WORKER_LEASE_SECONDS": str(LEASE)}
    kills: dict[int, float] = {}
    with site(workers=WORKERS, **settings) as place:
        alive = list(place.workers)
        with Load(place.stack.api_url, rate=RATE, seconds=(0, 0.1), chance=chance) as load:
            for _ in range(options.times(int(SECONDS / EVERY), least=3)):
                time.sleep(EVERY)
                victim = alive.pop(chance.randrange(len(alive)))
                kills[victim.pid] = victim.kill()
                alive.append(place.start_worker())
        found = records.settled(place.redis, load.accepted, seconds=30)
        starts = records.read_starts(place.starts_file)
    runs = sum(len(all_of_it) for all_of_it in starts.values())
    again = recoveries(starts, kills)
    repeated = Counter((job_id, s.attempt) for job_id, every in starts.items() for s in every)
    name = f"kill -9 × {len(kills)}"
    return [
        *records.verdict(name, found),
        exactly(f"{name}: attempts started twice", sum(n > 1 for n in repeated.values()), 0),
        at_most(f"{name}: executions", runs, len(starts) + len(kills) * SLOTS, note=f" ({len(again)} again)"),
        at_most(f"{name}: kill to next start, p99", quantile(again, 0.99), LEASE + 1.0, "s"),
        report(f"{name}: submissions", f"{len(load.accepted):,} accepted, {load.refused} refused"),
    ]


def recoveries(starts: dict[str, list[Start]], kills: dict[int, float]) -> list[float]:
    """Seconds from a kill to the next start of each job that died with it."""
    return [
        after.at - kills[before.pid]
        for found in starts.values()
        for before, after in pairwise(found)
        if before.pid in kills
    ]
