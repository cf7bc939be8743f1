"""Handlers hold their workers' interpreters for several leases: no attempt is charged."""

import asyncio
import json

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, exactly, figure
from chaos.direct_queue import direct_queue
from chaos.handlers.hold_interpreter import HOLD, HOLDS
from chaos.load_generator import LoadGenerator
from chaos.records import Record
from chaos.suite_options import SuiteOptions
from dev.percentiles import percentile
from dev.service import Service
from shared.store.submission import NewJob

WORKERS, LEASE, RATE, ROUNDS = 2, 1, 20, 6
HOLD_SECONDS = 3.0 * LEASE


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("gil")
    rounds = options.scaled(ROUNDS)
    holders: dict[str, Record] = {}
    with chaos_service(workers=WORKERS, WORKER_LEASE_SECONDS=str(LEASE), WORKER_CONCURRENCY="20") as service:
        with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 2.0 * LEASE), rng=rng) as load:
            for _ in range(rounds):
                ids = asyncio.run(submit(service, rng.choice(sorted(HOLDS))))
                holders |= records.settled(service.redis, ids, seconds=60)
        found = records.settled(service.redis, load.accepted, seconds=60)
        dead = sum(not worker.alive for worker in service.workers)
    held = [float(json.loads(record.get("result", "0"))) for record in holders.values()]
    name = f"{len(holders)} handlers that hold the interpreter for 3 leases"
    return [
        exactly(f"{name}: jobs charged an attempt", records.count_charged(holders.values()), 0),
        exactly(
            f"{name}: neighbours charged an attempt",
            records.count_charged(found.values()),
            0,
            note=f" of {len(found)}",
        ),
        *records.check_ends(f"{name}: neighbours", found),
        exactly(f"{name}: workers that exited", dead, 0),
        figure(f"{name}: seconds held, p50", f"{percentile(held, 50):.1f}"),
    ]


async def submit(service: Service, by: str) -> list[str]:
    """Submit one `hold` job per worker; returns their ids."""
    params = json.dumps({"by": by, "seconds": HOLD_SECONDS}).encode()
    async with direct_queue(service.stack.redis_url) as queue:
        return [(await queue.submit(NewJob(HOLD, params, "chaos"))).record.job_id for _ in range(WORKERS)]
