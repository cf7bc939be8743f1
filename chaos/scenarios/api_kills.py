"""The API is killed while it accepts jobs: each is there as a whole, or not at all."""

import time

from chaos import leftovers, records
from chaos.checks import Check, exactly, figure
from chaos.load_generator import LoadGenerator
from chaos.site import Site, site
from chaos.suite_options import SuiteOptions
from shared.store import redis_keys

WORKERS, RATE, KILLS = 2, 200, 15


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("api kills")
    kills = options.scaled(KILLS, least=3)
    with site(workers=WORKERS) as place:
        with LoadGenerator(place.stack.api_url, rate=RATE, seconds=(0, 0.05), rng=rng, timeout=2) as load:
            for _ in range(kills):
                time.sleep(rng.uniform(0.3, 1.0))
                place.restart_api()
        every = stored(place)
        found = records.settled(place.redis, sorted({*every, *load.accepted}), seconds=20)
        _, wrong = leftovers.find(place.redis)
    name = f"API kill -9 × {kills}"
    unanswered = len(set(every) - set(load.accepted))
    return [
        *records.check_ends(name, found),
        exactly(
            f"{name}: pieces of jobs left over", len(wrong), 0, note="".join(f" ({w})" for w in wrong[:1])
        ),
        figure(f"{name}: accepted, but the answer was cut off", f"{unanswered:,} of {len(every):,}"),
    ]


def stored(place: Site) -> list[str]:
    """The ids of every record in Redis, acknowledged or not."""
    return [
        key.decode().removeprefix(redis_keys.RECORD) for key in place.redis.scan_iter(redis_keys.RECORD + "*")
    ]
