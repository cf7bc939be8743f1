"""Sentinels fail over under load: by their command, and after a kill or a freeze of the primary."""

import time

from redis.exceptions import RedisError

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly, figure
from chaos.load_generator import LoadGenerator
from chaos.suite_options import SuiteOptions
from dev.sentinels import SentinelGroup, watched_over
from dev.service import Service
from dev.stack import wait_until

TIMES, RATE, LEASE = 3, 200, 6
BACK_SECONDS = 5.0  # beside down-after
WAYS = {
    "SENTINEL FAILOVER": SentinelGroup.fail_over,
    "primary killed": SentinelGroup.kill_primary,
    "primary frozen": SentinelGroup.freeze_primary,
}


def run(options: SuiteOptions) -> list[Check]:
    times, checks = options.scaled(TIMES), []
    with (
        watched_over() as group,
        chaos_service(
            workers=2, sentinels=group, WORKER_LEASE_SECONDS=str(LEASE), REDIS_ACK_REPLICAS="1"
        ) as service,
    ):
        for way in WAYS:
            checks += fail_over_by(way, times, group, service, options)
    return checks


def fail_over_by(
    way: str, times: int, group: SentinelGroup, service: Service, options: SuiteOptions
) -> list[Check]:
    rng, outages, refused = options.rng(f"sentinel {way}"), [], 0
    found: dict[str, records.Record] = {}
    for _ in range(times):
        with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.05), rng=rng) as load:
            load.wait_for_success(within=30)
            time.sleep(rng.uniform(0, 0.5))
            begun = time.time()
            former = WAYS[way](group)
            wait_until(lambda former=former: group.primary_port() != former, "another primary")  # type: ignore[misc]
            outages.append(load.wait_for_success(within=30) - begun)
        refused += load.refused
        found |= records.settled(group.primary(), load.accepted, seconds=30)
        group.rejoin(former)
        wait_until(lambda: is_in_step(group), "the Sentinels see all replicas in step")
    name = f"{way} × {times}, REDIS_ACK_REPLICAS=1"
    return [
        *records.check_ends(name, found)[:1],
        exactly(f"{name}: jobs charged an attempt", records.count_charged(found.values()), 0),
        exactly(f"{name}: processes that exited", service.stack.count_exited(), 0),
        at_most(
            f"{name}: to the next accepted job, longest", max(outages), group.down_after + BACK_SECONDS, "s"
        ),
        figure(f"{name}: submissions", f"{len(found):,} accepted, {refused} refused"),
    ]


def is_in_step(group: SentinelGroup) -> bool:
    try:
        return group.complete()
    except RedisError:
        return False
