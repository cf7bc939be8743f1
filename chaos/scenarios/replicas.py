"""Replicas of a Redis Cluster killed under load, whose submissions must be confirmed by a replica.

The submissions have no keys, so those to a shard without its replica may go to other shards.
"""

import time

from chaos import records
from chaos.chaos_service import chaos_service, check_running
from chaos.checks import Check, at_most, exactly, figure
from chaos.load_generator import THREADS, LoadGenerator
from chaos.records import ShardedRecords
from chaos.suite_options import SuiteOptions
from dev.cluster import RedisCluster, clustered
from dev.stack import wait_until
from shared.ids import shard_of
from shared.store.slots import slot_of, tag_of

KILLS, RATE, LEASE, SHARDS = 10, 100, 6, 8
LACKING_SECONDS = 5.0  # of load after a replica's death
BACK_SECONDS = 10.0


def run(options: SuiteOptions) -> list[Check]:
    rng, times = options.rng("replicas"), options.scaled(KILLS)
    refused: list[float] = []  # at each kill, for each shard of the primary
    backs: list[float] = []
    with (
        clustered(replicas=True) as cluster,
        chaos_service(
            workers=2, cluster=cluster, WORKER_LEASE_SECONDS=str(LEASE), REDIS_ACK_REPLICAS="1"
        ) as service,
    ):
        with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.05), rng=rng) as load:
            for _ in range(times):
                load.wait_for_success(within=30)
                lacking = shards_of(cluster, port := port_of(cluster, rng.randrange(SHARDS)))
                before, replica = load.refused, cluster.replica_of(port)
                cluster.kill(replica)
                time.sleep(LACKING_SECONDS)
                refused.append((load.refused - before) / len(lacking))
                cluster.rejoin(replica)
                backs.append(wait_for_jobs_on(lacking, load))
        found = records.settled(ShardedRecords(cluster, SHARDS), load.accepted, seconds=30)
        name = f"replica of a cluster killed × {times}, REDIS_ACK_REPLICAS=1"
        return [
            *records.check_ends(name, found)[:1],
            exactly(f"{name}: jobs charged an attempt", records.count_charged(found.values()), 0),
            check_running(name, service),
            at_most(f"{name}: submissions refused for each shard without its replica", max(refused), THREADS),
            at_most(f"{name}: from its return to jobs on all these shards", max(backs), BACK_SECONDS, "s"),
            figure(f"{name}: submissions", f"{len(found):,} accepted, {load.refused} refused"),
        ]


def wait_for_jobs_on(shards: set[int], load: LoadGenerator) -> float:
    """Wait until a new job has been accepted by each of these shards; returns the seconds."""
    begin, first = time.monotonic(), len(load.accepted)
    wait_until(
        lambda: shards <= {shard_of(job_id, SHARDS) for job_id in load.accepted[first:]},
        "each of these shards accepts a job",
    )
    return time.monotonic() - begin


def port_of(cluster: RedisCluster, shard: int) -> int:
    """The port of the shard's primary."""
    return cluster.port_of(slot_of(tag_of(shard)))


def shards_of(cluster: RedisCluster, port: int) -> set[int]:
    """The shards of the primary on a port."""
    return {shard for shard in range(SHARDS) if port_of(cluster, shard) == port}
