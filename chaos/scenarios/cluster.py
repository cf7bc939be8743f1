"""A Redis Cluster under load: primaries killed, slots that change their primary each moment, a FLUSHALL."""

import time
from contextlib import suppress
from random import Random
from threading import Event, Thread
from types import TracebackType

import httpx

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly, figure
from chaos.load_generator import LoadGenerator
from chaos.records import ShardedRecords
from chaos.suite_options import SuiteOptions
from dev.cluster import NODE_TIMEOUT_MS, RedisCluster, clustered
from dev.percentiles import percentile
from dev.service import Service
from dev.stack import wait_until
from shared.ids import shard_of
from shared.store.slots import slot_of, tag_of

KILLS, MOVES, RATE, LEASE, SHARDS = 10, 10, 100, 6, 8
QUIET_SECONDS = 2.0  # of load before each kill, as the measure of others' reads
READ_PAUSE = 0.01
SLOWER = 2.0  # times
NOT_SLOW_MS = 20.0  # a p99 below this is that of two shared cores with eleven processes
BACK_SECONDS = 8.0  # beside the node timeout


class Reader:
    """Reads jobs in turn within a `with` block.

    Attributes:
        reads: the time, the seconds and the status of each read; status 0 if there was no answer.
    """

    def __init__(self, service: Service, job_ids: list[str]) -> None:
        self.reads: list[tuple[float, float, int]] = []
        self._url = f"{service.stack.api_url}/jobs/"
        self._job_ids = job_ids
        self._end = Event()
        self._thread = Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _read(self) -> None:
        with httpx.Client(timeout=10) as client:
            while not self._end.wait(READ_PAUSE):
                job_id = self._job_ids[len(self.reads) % len(self._job_ids)]
                sent, begin, status = time.time(), time.monotonic(), 0
                with suppress(httpx.HTTPError):
                    status = client.get(self._url + job_id).status_code
                self.reads.append((sent, time.monotonic() - begin, status))


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
    """Kill the primary of a shard at random, and let it come back as a replica."""
    rng, times = options.rng("cluster kills"), options.scaled(KILLS)
    found: dict[str, records.Record] = {}
    outages, refused = [], 0
    quiet: list[float] = []
    during: list[float] = []
    statuses: list[int] = []
    for _ in range(times):
        shard = rng.randrange(SHARDS)
        port = cluster.port_of(slot_of(tag_of(shard)))
        others = [service.submit("echo", message=0) for _ in range(SHARDS)]
        others = [job_id for job_id in others if port_of(cluster, job_id) != port]
        with load_on(service, rng) as load, Reader(service, others) as reader:
            load.wait_for_success(within=30)
            time.sleep(QUIET_SECONDS)
            begun = time.time()
            cluster.kill(port)
            wait_until(lambda: has_moved(cluster, shard, port), "the replica takes over")  # noqa: B023
            ended = time.time()
            cluster.rejoin(port)
            outages.append(load.wait_for_success(within=30) - begun)
        quiet += [seconds for sent, seconds, _ in reader.reads if sent < begun]
        during += [seconds for sent, seconds, _ in reader.reads if begun <= sent <= ended]
        statuses += [status for _, _, status in reader.reads]
        refused += load.refused
        found |= settled(cluster, load.accepted)
    name = f"primary of a cluster killed × {times}, REDIS_ACK_REPLICAS=1"
    before, meanwhile = percentile(quiet, 99) * 1000, percentile(during, 99) * 1000
    return [
        *common(name, found, service, refused),
        at_most(
            f"{name}: reads of jobs of other primaries, p99",
            meanwhile,
            max(SLOWER * before, NOT_SLOW_MS),
            "ms",
            note=f" (quiet {before:.1f} ms)",
        ),
        exactly(f"{name}: of these reads, refused", sum(status != 200 for status in statuses), 0),
        at_most(
            f"{name}: to all shards again, longest", max(outages), NODE_TIMEOUT_MS / 1000 + BACK_SECONDS, "s"
        ),
    ]


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
    return common(f"CLUSTER FAILOVER × {count}, REDIS_ACK_REPLICAS=1", found, service, load.refused)


def flush(cluster: RedisCluster, service: Service, options: SuiteOptions) -> list[Check]:
    """Delete all data of one primary under load."""
    rng = options.rng("cluster flush")
    port = cluster.port_of(slot_of(tag_of(rng.randrange(SHARDS))))
    with load_on(service, rng) as load:
        load.wait_for_success(within=30)
        time.sleep(QUIET_SECONDS)
        before = list(load.accepted)
        here = [job_id for job_id in before if port_of(cluster, job_id) == port]
        cluster.client(port).flushall()
        gone = [service.call("GET", f"/jobs/{job_id}").status_code for job_id in here[-50:]]
        load.wait_for_success(within=30)
        last = len(load.accepted)
        time.sleep(QUIET_SECONDS)
    elsewhere = [job_id for job_id in before if job_id not in set(here)]
    found = settled(cluster, [*elsewhere, *load.accepted[last:]])
    name = "FLUSHALL of one primary of a cluster"
    return [
        exactly(f"{name}: reads of its jobs answered 404", gone.count(404), len(gone)),
        *common(name, found, service, load.refused),
    ]


def common(name: str, found: dict[str, records.Record], service: Service, refused: int) -> list[Check]:
    return [
        *records.check_ends(name, found)[:1],
        exactly(f"{name}: jobs charged an attempt", records.count_charged(found.values()), 0),
        exactly(f"{name}: processes that exited", service.stack.count_exited(), 0),
        figure(f"{name}: submissions", f"{len(found):,} accepted, {refused} refused"),
    ]


def load_on(service: Service, rng: Random) -> LoadGenerator:
    return LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.05), rng=rng)


def settled(cluster: RedisCluster, job_ids: list[str]) -> dict[str, records.Record]:
    wait_until(cluster.is_in_step, "the nodes agree, and each primary has a replica")
    return records.settled(ShardedRecords(cluster, SHARDS), job_ids, seconds=30)


def port_of(cluster: RedisCluster, job_id: str) -> int:
    """The port of the primary that has a job."""
    return cluster.port_of(slot_of(tag_of(shard_of(job_id, SHARDS))))


def has_moved(cluster: RedisCluster, shard: int, port: int) -> bool:
    return cluster.port_of(slot_of(tag_of(shard))) != port
