"""A Redis Cluster under a steady load: primaries killed, slots that change their primary, a FLUSHALL."""

import time
from random import Random
from statistics import median

from chaos import records
from chaos.chaos_service import chaos_service, check_running
from chaos.checks import Check, at_most, exactly, figure
from chaos.open_load import OpenLoad
from chaos.records import ShardedRecords
from chaos.suite_options import SuiteOptions
from chaos.timed_reads import TimedRead, TimedReads
from dev.cluster import NODE_TIMEOUT_MS, RedisCluster, clustered
from dev.percentiles import percentile
from dev.service import Service
from dev.stack import wait_until
from shared.ids import shard_of
from shared.store.slots import slot_of, tag_of

KILLS, MOVES, RATE, LEASE, SHARDS = 10, 10, 100, 6, 8
READ_RATE, READ_SECONDS = 100, 3.0  # of reads before each kill, and of as many after it
QUIET_SECONDS = 2.0  # of load before and after FLUSHALL
SLOWER = 2.0  # times
BACK_SECONDS = 8.0  # beside the node timeout


def run(options: SuiteOptions) -> list[Check]:
    with (
        clustered(replicas=True) as cluster,
        chaos_service(
            workers=2, cluster=cluster, WORKER_LEASE_SECONDS=str(LEASE), REDIS_ACK_REPLICAS="1"
        ) as service,
    ):
        return [
            *kills(cluster, service, options),
            *moves(cluster, service, options),
            *flush(cluster, service, options),
        ]


def kills(cluster: RedisCluster, service: Service, options: SuiteOptions) -> list[Check]:
    """Kill the primary of a shard at random, and let it come back as a replica; each time, read other jobs.

    A load's submissions have keys, so they do not go past the shard that is away: they are repeated until its
    replica takes them.
    """
    rng, times = options.rng("cluster kills"), options.scaled(KILLS)
    found: dict[str, records.Record] = {}
    loads, backs, waits = [], [], []
    reads: list[tuple[list[TimedRead], list[TimedRead]]] = []
    for _ in range(times):
        shard = rng.randrange(SHARDS)
        port = cluster.port_of(slot_of(tag_of(shard)))
        others = [service.submit("echo", message=0) for _ in range(SHARDS)]
        others = [job_id for job_id in others if port_of(cluster, job_id) != port]
        api = service.stack.api_port
        with load_on(service, rng) as load, TimedReads(api, rate=READ_RATE, job_ids=others) as reader:
            load.wait_for_success(within=30)
            time.sleep(READ_SECONDS)
            cluster.kill(port)
            begun = time.time()
            wait_until(lambda: has_moved(cluster, shard, port), "the replica takes over")  # noqa: B023
            moved = time.time()
            cluster.rejoin(port)  # until then the new primary has no replica that could confirm a job
            wait_until(lambda: accepted_since(load, shard, begun), "its shard takes jobs")  # noqa: B023
        loads.append(load)
        backs.append(accepted_since(load, shard, begun) - begun)
        reads.append(reader.around(begun, min(moved, begun + READ_SECONDS)))
        waits += [read for read in reader.reads if read.status != 200]
        found |= settled(cluster, load.accepted)
    name = f"primary of a cluster killed × {times}, REDIS_ACK_REPLICAS=1"
    return [
        *common(name, found, service, loads),
        *compared(f"{name}: reads of jobs of other primaries", reads),
        exactly(f"{name}: of these reads, refused or not answered", len(waits), 0),
        at_most(
            f"{name}: to the next accepted job of its shard, a replica back, longest",
            max(backs),
            NODE_TIMEOUT_MS / 1000 + BACK_SECONDS,
            "s",
        ),
    ]


def compared(name: str, reads: list[tuple[list[TimedRead], list[TimedRead]]]) -> list[Check]:
    """Check that the p99 of reads does not double; of both p99 the median over all kills counts.

    Of each kill there are as many reads before it as while the shard is away.
    """
    before, during = (
        median(percentile([read.seconds for read in part], 99) for part in parts) * 1000
        for parts in zip(*reads, strict=True)
    )
    ratio = during / before
    return [
        Check(
            f"{name}, p99 while a shard is away, median",
            f"{during:.1f} ms ({ratio:.2f} x, before {before:.1f} ms)",
            f"≤ {SLOWER:.2f} x",
            ratio <= SLOWER,
        ),
        figure(f"{name}, number each time", f"{min(len(before) for before, _ in reads):,} or more"),
    ]


def accepted_since(load: OpenLoad, shard: int, moment: float) -> float:
    """The time of the first 202 to a submission sent after a moment whose job is in a shard; 0 if none."""
    found = [
        submission.accepted_at
        for submission in load.submissions
        if submission.sent >= moment and submission.job_id and shard_of(submission.job_id, SHARDS) == shard
    ]
    return min(found, default=0.0)


def moves(cluster: RedisCluster, service: Service, options: SuiteOptions) -> list[Check]:
    """Fail over from every primary that lives, again and again: each call meets MOVED."""
    rng, times = options.rng("cluster moves"), options.scaled(MOVES)
    count = 0
    with load_on(service, rng) as load:
        for _ in range(times):
            for port in sorted({cluster.port_of(slot_of(tag_of(shard))) for shard in range(SHARDS)}):
                load.wait_for_success(within=30)
                cluster.fail_over(port)
                count += 1
            wait_until(cluster.is_in_step, "the nodes agree, and each primary has a replica")
    found = settled(cluster, load.accepted)
    return common(f"CLUSTER FAILOVER × {count}, REDIS_ACK_REPLICAS=1", found, service, [load])


def flush(cluster: RedisCluster, service: Service, options: SuiteOptions) -> list[Check]:
    """Delete all data of one primary under load."""
    rng = options.rng("cluster flush")
    port = cluster.port_of(slot_of(tag_of(rng.randrange(SHARDS))))
    with load_on(service, rng) as load:
        load.wait_for_success(within=30)
        time.sleep(QUIET_SECONDS)
        before = list(load.accepted)
        here = [job_id for job_id in before if port_of(cluster, job_id) == port]
        begun = time.time()
        cluster.client(port).flushall()
        gone = [service.call("GET", f"/jobs/{job_id}").status_code for job_id in here[-50:]]
        load.wait_for_success(within=30)
        ended = time.time()
        time.sleep(QUIET_SECONDS)
    later = [submission.job_id for submission in load.submissions if submission.sent > ended]
    elsewhere = [
        submission.job_id
        for submission in load.submissions
        if submission.accepted_at < begun and port_of(cluster, submission.job_id) != port
    ]
    found = settled(cluster, [*elsewhere, *later])
    name = "FLUSHALL of one primary of a cluster"
    return [
        exactly(f"{name}: reads of its jobs answered 404", gone.count(404), len(gone)),
        *common(name, found, service, [load]),
    ]


def common(
    name: str, found: dict[str, records.Record], service: Service, loads: list[OpenLoad]
) -> list[Check]:
    submissions = [submission for load in loads for submission in load.submissions]
    return [
        *records.check_ends(name, found)[:1],
        exactly(f"{name}: submissions never accepted", sum(not s.job_id for s in submissions), 0),
        exactly(f"{name}: jobs charged an attempt", records.count_charged(found.values()), 0),
        check_running(name, service),
        figure(
            f"{name}: submissions", f"{len(submissions):,}, {sum(load.repeated for load in loads):,} repeated"
        ),
    ]


def load_on(service: Service, rng: Random) -> OpenLoad:
    return OpenLoad(service.stack.api_port, rate=RATE, seconds=(0, 0.05), rng=rng)


def settled(cluster: RedisCluster, job_ids: list[str]) -> dict[str, records.Record]:
    wait_until(cluster.is_in_step, "the nodes agree, and each primary has a replica")
    return records.settled(ShardedRecords(cluster, SHARDS), job_ids, seconds=30)


def port_of(cluster: RedisCluster, job_id: str) -> int:
    """The port of the primary that has a job."""
    return cluster.port_of(slot_of(tag_of(shard_of(job_id, SHARDS))))


def has_moved(cluster: RedisCluster, shard: int, port: int) -> bool:
    return cluster.port_of(slot_of(tag_of(shard))) != port
