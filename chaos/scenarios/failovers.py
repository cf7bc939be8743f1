"""Redis fails over to its replica and back under load; connections to the former primary stay open."""

import time
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly, figure
from chaos.load_generator import LoadGenerator
from chaos.suite_options import SuiteOptions
from dev.replication import RedisPair, replicated
from dev.service import Service

TIMES, EVERY, RATE, LEASE = 10, 2.0, 100, 6
BACK_SECONDS = 3.0


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("failovers")
    times = options.scaled(TIMES, least=2)
    settings: dict[str, Any] = {"WORKER_LEASE_SECONDS": str(LEASE)}
    with replicated() as pair, chaos_service(workers=2, link=pair.forwarder, **settings) as service:
        with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.5), rng=rng) as load:
            outages = []
            for _ in range(times):
                time.sleep(EVERY * rng.uniform(0.5, 1.5))
                outages.append(outage(pair, load))
            time.sleep(1)
        found = records.settled(pair.primary, load.accepted, seconds=30)
        exited = service.stack.count_exited()
        charged = records.count_charged(found.values())
        late = cancel_after(service, pair)
    name = f"fail-over × {times}, connections stay open"
    return [
        *records.check_ends(name, found),
        exactly(f"{name}: jobs charged an attempt", charged, 0),
        exactly(f"{name}: processes that exited", exited, 0),
        at_most(f"{name}: to the next accepted job, longest", max(outages), BACK_SECONDS, "s"),
        at_most(f"{name}: a running job's cancellation after it", late, BACK_SECONDS, "s"),
        figure(f"{name}: submissions", f"{len(load.accepted):,} accepted, {load.refused} refused"),
    ]


def outage(pair: RedisPair, load: LoadGenerator) -> float:
    """Fail over; returns the seconds until a job is accepted that was sent after it."""
    begin = time.time()
    pair.fail_over()
    return load.wait_for_success(within=2 * BACK_SECONDS) - begin


def cancel_after(service: Service, pair: RedisPair) -> float:
    """Fail over, then cancel a running job; returns the seconds from the request until it is cancelled."""
    job_id = service.submit("sleep", seconds=60)
    wait_for(pair, job_id, "running")
    pair.fail_over()
    begin = time.monotonic()
    service.http.delete(f"{service.stack.api_url}/jobs/{job_id}")
    wait_for(pair, job_id, "cancelled")
    return time.monotonic() - begin


def wait_for(pair: RedisPair, job_id: str, state: str) -> None:
    """Wait until the job is in this state, at most 4 times BACK_SECONDS."""
    end = time.monotonic() + 4 * BACK_SECONDS
    while time.monotonic() < end:
        with suppress(RedisError):
            if records.read(pair.primary, [job_id])[job_id].get("state") == state:
                return
        time.sleep(0.01)
