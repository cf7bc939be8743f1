"""The API is killed while it accepts jobs: each job is stored whole, or not at all."""

import time

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, empty, figure
from chaos.load_generator import LoadGenerator
from chaos.suite_options import SuiteOptions
from dev.leftover_keys import find_leftovers
from dev.service import Service
from shared.store import redis_keys

WORKERS, RATE, KILLS = 2, 200, 15


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("api kills")
    kills = options.scaled(KILLS, least=3)
    with chaos_service(workers=WORKERS) as service:
        with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.05), rng=rng, timeout=2) as load:
            for _ in range(kills):
                time.sleep(rng.uniform(0.3, 1.0))
                service.restart_api()
        every = stored(service)
        found = records.settled(service.redis, sorted({*every, *load.accepted}), seconds=20)
        _, leftovers = find_leftovers(service.redis)
    name = f"API kill -9 × {kills}"
    unanswered = len(set(every) - set(load.accepted))
    return [
        *records.check_ends(name, found),
        empty(f"{name}: keys that should not be there", leftovers),
        figure(f"{name}: jobs stored whose answer was cut off", f"{unanswered:,} of {len(every):,}"),
    ]


def stored(service: Service) -> list[str]:
    """The ids of all records in Redis, acknowledged or not."""
    keys = service.redis.scan_iter(redis_keys.RECORD + "*")
    return [key.decode().removeprefix(redis_keys.RECORD) for key in keys]
