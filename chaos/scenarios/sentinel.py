"""Redis behind Sentinels under a steady load: fail-overs of three kinds, and outages longer than a lease."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from chaos import records
from chaos.chaos_service import chaos_service, check_running
from chaos.checks import Check, at_least, at_most, exactly, figure
from chaos.open_load import OpenLoad
from chaos.suite_options import SuiteOptions
from dev.sentinels import SentinelGroup, watched_over
from dev.service import Service
from dev.stack import wait_until
from shared.store import redis_keys

TIMES, RATE, LEASE = 10, 200, 6
OUTAGES, OUTAGE_SECONDS = 2, 2.0 * LEASE
CALM_SECONDS = (1.0, 1.5)  # of load before each fault
LONG_JOBS, LONG_SECONDS = 4, 8.0  # jobs that run through a fail-over, and longer than a lease
BACK_SECONDS = 5.0  # beside down-after
OFFERED = 0.95  # of RATE: the rate that was really offered
FAILOVERS = {
    "SENTINEL FAILOVER": SentinelGroup.fail_over,
    "primary killed": SentinelGroup.kill_primary,
    "primary frozen": SentinelGroup.freeze_primary,
}


@dataclass
class Tally:
    """Figures of one fault, over all its repetitions; times are spans of `time.time()`."""

    loads: list[OpenLoad] = field(default_factory=list)
    calms: list[tuple[float, float]] = field(default_factory=list)
    faults: list[tuple[float, float]] = field(default_factory=list)
    backs: list[float] = field(default_factory=list)  # seconds to the next accepted job
    found: dict[str, records.Record] = field(default_factory=dict)

    def rate(self, spans: list[tuple[float, float]]) -> int:
        """The jobs offered a second within these spans, one of each load."""
        sent = sum(load.offered(*span) for load, span in zip(self.loads, spans, strict=True))
        return round(sent / sum(until - since for since, until in spans))


def run(options: SuiteOptions) -> list[Check]:
    with (
        watched_over() as group,
        chaos_service(
            workers=2, sentinels=group, WORKER_LEASE_SECONDS=str(LEASE), REDIS_ACK_REPLICAS="1"
        ) as service,
    ):
        checks: list[Check] = []
        known: set[str] = set()
        for way in FAILOVERS:
            name = f"{way} × {options.scaled(TIMES)}, REDIS_ACK_REPLICAS=1"
            tally = fail_over_by(way, group, service, options)
            known |= tally.found.keys()
            checks += [
                *common(name, tally, known, group, service),
                at_most(
                    f"{name}: to the next accepted job, longest",
                    max(tally.backs),
                    group.down_after + BACK_SECONDS,
                    "s",
                ),
            ]
        for kind, frozen in (("Redis and all Sentinels", everything), ("primary and all Sentinels", primary)):
            name = f"{kind} frozen for {OUTAGE_SECONDS / LEASE:g} leases × {options.scaled(OUTAGES)}"
            tally = outage_of(frozen, group, service, options)
            known |= tally.found.keys()
            checks += [
                *common(name, tally, known, group, service),
                at_most(
                    f"{name}: from its end to the next accepted job", max(tally.backs), BACK_SECONDS, "s"
                ),
            ]
    return checks


def fail_over_by(way: str, group: SentinelGroup, service: Service, options: SuiteOptions) -> Tally:
    """Let the Sentinels fail over, again and again, while jobs run that began before it."""
    rng, tally = options.rng(f"sentinel {way}"), Tally()
    for _ in range(options.scaled(TIMES)):
        jobs = [service.submit("sleep", seconds=LONG_SECONDS) for _ in range(LONG_JOBS)]
        with OpenLoad(service.stack.api_port, rate=RATE, seconds=(0, 0.05), rng=rng) as load:
            load.wait_for_success(within=30)
            calm = time.time()
            time.sleep(rng.uniform(*CALM_SECONDS))
            begun = time.time()
            former = FAILOVERS[way](group)
            wait_until(lambda former=former: group.primary_port() != former, "another primary")  # type: ignore[misc]
            back = load.wait_for_success(within=30)
        tally.loads.append(load)
        tally.calms.append((calm, begun))
        tally.faults.append((begun, back))
        tally.backs.append(back - begun)
        tally.found |= records.settled(group.primary(), [*jobs, *load.accepted], seconds=30)
        group.rejoin(former)
        wait_until(lambda: is_in_step(group), "the Sentinels see all replicas in step")
    return tally


Freeze = Callable[[SentinelGroup], AbstractContextManager[None]]


@contextmanager
def everything(group: SentinelGroup) -> Iterator[None]:
    with group.frozen(*group.sentinel_ports, *group.ports):
        yield


@contextmanager
def primary(group: SentinelGroup) -> Iterator[None]:
    """The replicas live, and no Sentinel makes one of them the primary."""
    with group.frozen(*group.sentinel_ports, group.primary_port()):
        yield


def outage_of(frozen: Freeze, group: SentinelGroup, service: Service, options: SuiteOptions) -> Tally:
    """Take Redis away for longer than a lease; half of the running jobs end in this time, half after it."""
    rng, tally = options.rng(f"sentinel {frozen.__name__}"), Tally()
    for _ in range(options.scaled(OUTAGES)):
        seconds = [OUTAGE_SECONDS / 2, OUTAGE_SECONDS + LONG_SECONDS] * (LONG_JOBS // 2)
        jobs = [service.submit("sleep", seconds=duration) for duration in seconds]
        with OpenLoad(service.stack.api_port, rate=RATE, seconds=(0, 0.05), rng=rng) as load:
            load.wait_for_success(within=30)
            calm = time.time()
            time.sleep(rng.uniform(*CALM_SECONDS))
            with frozen(group):
                begun = time.time()
                time.sleep(OUTAGE_SECONDS)
            ended = time.time()
            back = load.wait_for_success(within=30)
        tally.loads.append(load)
        tally.calms.append((calm, begun))
        tally.faults.append((begun, ended))
        tally.backs.append(back - ended)
        tally.found |= records.settled(group.primary(), [*jobs, *load.accepted], seconds=60)
        wait_until(lambda: is_in_step(group), "the Sentinels see all replicas in step")
    return tally


def common(name: str, tally: Tally, known: set[str], group: SentinelGroup, service: Service) -> list[Check]:
    """The checks of each fault; `known` has all jobs that were accepted so far."""
    least = round(OFFERED * RATE)
    submissions = [submission for load in tally.loads for submission in load.submissions]
    indexed = {job_id.decode() for job_id in group.primary().zrange(redis_keys.INDEX, 0, -1)}
    starts = records.read_starts(service.stack.folder)
    return [
        at_least(f"{name}: jobs offered a second before it", tally.rate(tally.calms), least),
        at_least(f"{name}: jobs offered a second in it", tally.rate(tally.faults), least),
        *records.check_ends(name, tally.found)[:1],
        exactly(f"{name}: submissions never accepted", sum(not s.job_id for s in submissions), 0),
        exactly(f"{name}: second jobs made by repeats", len(indexed - known), 0),
        exactly(f"{name}: jobs charged an attempt", records.count_charged(tally.found.values()), 0),
        check_running(name, service),
        figure(
            f"{name}: submissions",
            f"{len(submissions):,}, {sum(load.repeated for load in tally.loads):,} repeated",
        ),
        figure(
            f"{name}: answers other than 202",
            f"{sum(s.refused for s in submissions):,}, {sum(s.unanswered for s in submissions):,} missing",
        ),
        figure(
            f"{name}: handlers that ran again", f"{sum(len(starts[job_id]) > 1 for job_id in tally.found):,}"
        ),
    ]


def is_in_step(group: SentinelGroup) -> bool:
    try:
        return group.complete()
    except RedisError:
        return False
