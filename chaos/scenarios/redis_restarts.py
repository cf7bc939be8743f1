"""Redis is killed under load and restarts with its append-only file: no acknowledged job is lost."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly, figure
from chaos.load_generator import LoadGenerator
from chaos.suite_options import SuiteOptions
from dev.service import Service

RATE, EVERY, SECONDS = 100, 10.0, 60
BACK_SECONDS = 5.0


def run(options: SuiteOptions) -> list[Check]:
    """Run with `appendfsync` always and everysec, side by side to save time."""
    with ThreadPoolExecutor(2) as pool:
        halt = Event()
        try:
            runs = [pool.submit(restarts, options, fsync, halt) for fsync in ("always", "everysec")]
            return [row for done in runs for row in done.result()]
        finally:
            halt.set()  # an interrupted run ends both


def restarts(options: SuiteOptions, fsync: str, halt: Event) -> list[Check]:
    rng = options.rng(f"redis {fsync}")
    kills = options.scaled(int(SECONDS / EVERY), least=2)
    outages: list[float] = []
    with chaos_service(workers=2, fsync=fsync, WORKER_LEASE_SECONDS="5") as service:
        with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.1), rng=rng) as load:
            for _ in range(kills):
                if halt.wait(EVERY * rng.uniform(0.8, 1.2)):
                    return []
                outages.append(outage(service, load))
        found = records.settled(service.redis, load.accepted, seconds=30)
        exits = service.stack.count_exited()
    name = f"Redis kill -9 × {kills}, fsync {fsync}"
    return [
        *records.check_ends(name, found),
        exactly(f"{name}: processes that exited", exits, 0),
        at_most(f"{name}: kill to the next accepted job, longest", max(outages), BACK_SECONDS, "s"),
        figure(f"{name}: submissions", f"{len(load.accepted):,} accepted, {load.refused} refused"),
    ]


def outage(service: Service, load: LoadGenerator) -> float:
    """Kill and restart Redis; returns the seconds until a job is accepted."""
    begin = time.time()
    service.restart_redis()
    return load.wait_for_success(within=2 * BACK_SECONDS) - begin
