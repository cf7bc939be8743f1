"""The cost of a job in Redis: on one server, on shards of a cluster, with a replica; a million records.

The store's own scripts are driven without HTTP, workers and handlers: 32 callers submit one job at a time to
a shard, and then the shard claims and finishes its jobs. Shards take turns, and so do the setups: a machine's
speed drifts. So *calls* are the least that a job needs. The client and all servers share the machine, so
only cost is shown, and the rate where it explains a lag.
*Even* is one part of as many as there are primaries; *held* is the part of the shards that a primary holds.
The lag of the replica is the time of a WAIT for it after a write, beside that of a PING, both under load
from another process.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from multiprocessing import get_context
from typing import Any, NamedTuple

import uvloop
from redis import Redis

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.figures import Figures, number, ratio
from benchmarks.peer_stack import PeerStack
from benchmarks.progress import failure_logged
from benchmarks.redis_usage import Usage, total, usage_of
from benchmarks.shard_load import ShardLoad, loads, submit, work_off
from benchmarks.slow_scripts import record_slow_scripts, watch_scripts
from dev.cluster import clustered
from dev.markdown import markdown_table
from dev.percentiles import percentile
from dev.replication import replicated
from dev.stack import wait_until
from shared.store.slots import slot_of, tag_of

JOBS = 32_000  # each number of shards divides it
STEP = 50  # jobs
TURNS = 10
STEPS = (1, 10, 100)
RECORDS = 1_000_000
BATCH = 100  # jobs of a submission that fills Redis
PROBE_PAUSE = 0.005  # seconds
LAGS = ("PING", "WAIT")


class Setup(NamedTuple):
    """Shards on the primaries of a cluster; without primaries one server that knows no shards."""

    shards: int
    primaries: int

    @property
    def name(self) -> str:
        return f"{self.shards} on {self.primaries}" if self.primaries else "one Redis"

    def count_held(self, primary: int) -> int:
        """The shards that a primary holds."""
        return sum(
            slot_of(tag_of(shard)) * self.primaries // 16384 == primary for shard in range(self.shards)
        )


ONE = Setup(1, 0)
SETUPS = (ONE, Setup(1, 3), Setup(2, 3), Setup(4, 3), Setup(8, 3), Setup(8, 8))
Servers = tuple[str, list[Any]]  # their URL, and a client of each
Spent = tuple[list[Usage], list[Usage]]  # of each server, by submissions and by steps


def run(options: BenchmarkOptions) -> str:
    figures, jobs = Figures(), options.jobs(JOBS)
    for _ in range(options.rounds):
        with failure_logged():
            measure_shards(figures, jobs)
        for batch in STEPS:
            with failure_logged():
                measure_steps(figures, batch, jobs)
        with failure_logged():
            measure_replica(figures, jobs)
    with failure_logged():
        measure_records(figures, options.jobs(RECORDS))
    return "\n\n".join(
        [_costs(figures), _shares(figures), _steps(figures), _replica(figures), _records(figures)]
    )


def measure_shards(figures: Figures, jobs: int) -> None:
    with ExitStack() as stack:
        opened = {
            primaries: stack.enter_context(servers_of(primaries))
            for primaries in {setup.primaries for setup in SETUPS}
        }
        for setup, spent in uvloop.run(_drive_in_turns(opened, jobs)).items():
            _add(figures, setup, spent, jobs)


def _add(figures: Figures, setup: Setup, spent: Spent, jobs: int) -> None:
    submitting, working = spent
    whole = total(submitting), total(working)
    cost = total(whole)
    figures.add(setup.name, "submit", whole[0].cpu / jobs)
    figures.add(setup.name, "step", whole[1].cpu / jobs)
    figures.add(setup.name, "cpu", cost.cpu / jobs)
    figures.add(setup.name, "calls", cost.calls / jobs)
    figures.add(setup.name, "received", cost.received / jobs)
    figures.add(setup.name, "sent", cost.sent / jobs)
    figures.add(setup.name, "waiting", whole[0].memory / jobs)
    figures.add(setup.name, "finished", cost.memory / jobs)
    for place, parts in enumerate(zip(submitting, working, strict=True)):
        share = total(parts).cpu / cost.cpu
        figures.add(setup.name, f"share {place}", 100 * share)


def measure_steps(figures: Figures, batch: int, jobs: int) -> None:
    with servers_of(0) as (url, servers):
        _, working = uvloop.run(_drive(url, servers, jobs, batch))
    figures.add(f"step {batch}", "cpu", total(working).cpu / jobs)
    figures.add(f"step {batch}", "calls", total(working).calls / jobs)


def measure_replica(figures: Figures, jobs: int) -> None:
    with replicated() as pair, ProcessPoolExecutor(1, get_context("spawn")) as pool:
        port = pair.primary.connection_pool.connection_kwargs["port"]
        wait_until(lambda: pair.primary.wait(1, 100) == 1, "the replica is in sync")
        pool.submit(load_once, port, STEP).result()
        before = usage_of(pair.primary), usage_of(pair.replica)
        load = pool.submit(load_once, port, jobs)
        lags = _probe(pair.primary, load)
        wait_until(lambda: pair.primary.wait(1, 100) == 1, "the replica has all data")
        primary, replica = (
            usage_of(server).since(then)
            for server, then in zip((pair.primary, pair.replica), before, strict=True)
        )
    figures.add("replica", "primary", primary.cpu / jobs)
    figures.add("replica", "replica", replica.cpu / jobs)
    figures.add("replica", "replicated", primary.replicated / jobs)
    figures.add("replica", "rate", jobs / load.result())
    for name, seconds in lags.items():
        for rank in (50, 99, 100):
            figures.add("replica", f"{name} p{rank}", 1000 * percentile(seconds, rank))


def load_once(port: int, jobs: int) -> float:
    """Submit and finish jobs on one server; returns the seconds."""
    begin = time.monotonic()
    uvloop.run(_drive(f"redis://127.0.0.1:{port}", [], jobs, STEP))
    return time.monotonic() - begin


def measure_records(figures: Figures, jobs: int) -> None:
    with servers_of(0) as (url, [redis]):
        redis.config_set("appendonly", "no")
        uvloop.run(_fill(figures, url, redis, jobs))
        redis.bgsave()
        wait_until(lambda: not redis.info("persistence")["rdb_bgsave_in_progress"], "the copy", seconds=180)
        figures.add("records", "fork", redis.info("stats")["latest_fork_usec"] / 1000)
        figures.add("records", "save", redis.info("persistence")["rdb_last_bgsave_time_sec"])
        figures.add("records", "jobs", jobs)


async def _fill(figures: Figures, url: str, redis: Any, jobs: int) -> None:
    async with loads(url, 1) as [load]:
        empty = redis.info("memory")
        for state, work in (
            ("waiting", load.submit_batches(jobs, BATCH)),
            ("finished", load.work_off(jobs, BATCH)),
        ):
            await work
            memory = redis.info("memory")
            for name in ("used_memory", "used_memory_rss"):
                figures.add("records", f"{state} {name}", (memory[name] - empty[name]) / 1e6)


async def _drive_in_turns(opened: Mapping[int, Servers], jobs: int) -> dict[Setup, Spent]:
    async with AsyncExitStack() as stack:
        found = {
            setup: await stack.enter_async_context(loads(opened[setup.primaries][0], setup.shards))
            for setup in SETUPS
        }
        turns: dict[Setup, list[Spent]] = {setup: [] for setup in SETUPS}
        for _ in range(TURNS):
            for setup in SETUPS:
                servers = opened[setup.primaries][1]
                turns[setup].append(await _spend(found[setup], servers, jobs // TURNS, STEP))
    return {
        setup: (_sums([turn[0] for turn in spent]), _sums([turn[1] for turn in spent]))
        for setup, spent in turns.items()
    }


def _sums(turns: Sequence[list[Usage]]) -> list[Usage]:
    """The usage of each server in all turns."""
    return [total(usages) for usages in zip(*turns, strict=True)]


async def _drive(url: str, servers: list[Any], jobs: int, step: int) -> Spent:
    """The usage of one server without shards."""
    async with loads(url, 1) as found:
        return await _spend(found, servers, jobs, step)


async def _spend(found: Sequence[ShardLoad], servers: list[Any], jobs: int, step: int) -> Spent:
    begin = [usage_of(server) for server in servers]
    await submit(found, jobs)
    between = [usage_of(server) for server in servers]
    await work_off(found, jobs, step)
    end = [usage_of(server) for server in servers]
    return _differences(begin, between), _differences(between, end)


def _differences(before: list[Usage], after: list[Usage]) -> list[Usage]:
    return [now.since(then) for then, now in zip(before, after, strict=True)]


def _probe(redis: Any, until: Any) -> dict[str, list[float]]:
    """Seconds of each PING, and of each WAIT for the replica after a write, until the future is done."""
    found: dict[str, list[float]] = {name: [] for name in LAGS}
    while not until.done():
        begin = time.perf_counter()
        redis.ping()
        found["PING"].append(time.perf_counter() - begin)
        redis.set("benchmark", "1")
        begin = time.perf_counter()
        redis.wait(1, 10_000)
        found["WAIT"].append(time.perf_counter() - begin)
        time.sleep(PROBE_PAUSE)
    return found


@contextmanager
def servers_of(primaries: int) -> Iterator[Servers]:
    """A cluster of so many primaries, or one server that is none; each has an append-only file."""
    with ExitStack() as stack:
        if not primaries:
            peer = stack.enter_context(PeerStack("job_server"))
            yield peer.admin_url, [peer.redis]
            return
        cluster = stack.enter_context(clustered(primaries=primaries))
        servers: list[Any] = [stack.enter_context(Redis(port=port)) for port in cluster.ports]
        for server in servers:
            server.config_set("appendonly", "yes")
            watch_scripts(server)
        for server in servers:
            wait_until(lambda server=server: not _rewrites(server), "Redis has begun its file")  # type: ignore[misc]
        yield cluster.admin_url, servers
        for server in servers:
            record_slow_scripts(server)


def _rewrites(redis: Any) -> bool:
    found = redis.info("persistence")
    return bool(found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"])


def _costs(figures: Figures) -> str:
    columns = ("submit", "step", "received", "sent", "waiting", "finished")
    rows = []
    for setup in SETUPS:
        cells = [setup.name, figures.show(setup.name, "cpu", 1), figures.spread(setup.name, "cpu", 1)]
        cells += [
            ratio(figures.median(setup.name, "cpu"), figures.median(base.name, "cpu"))
            for base in (ONE, SETUPS[1])
        ]
        cells.append(figures.show(setup.name, "calls", 2))
        rows.append([*cells, *(figures.show(setup.name, column) for column in columns)])
    head = ["shards on primaries", "Redis µs/job", "range", "÷ one Redis", f"÷ {SETUPS[1].name}", "calls/job"]
    head += ["µs to submit", "µs to run", "bytes in/job", "bytes out/job", "bytes waiting", "bytes finished"]
    return markdown_table(head, rows)


def _shares(figures: Figures) -> str:
    rows = []
    for setup in SETUPS[1:]:
        places = range(setup.primaries)
        held = [setup.count_held(place) for place in places]
        shares = [figures.median(setup.name, f"share {place}") or 0.0 for place in places]
        of_held = [
            share * setup.shards / 100 / count for share, count in zip(shares, held, strict=True) if count
        ]
        rows.append(
            [
                setup.name,
                " ".join(map(str, held)),
                " ".join(f"{share:.0f}" for share in shares),
                f"{max(shares) * setup.primaries / 100:.2f}",
                f"{max(of_held):.2f}",
            ]
        )
    head = [
        "shards on primaries",
        "shards of each",
        "Redis CPU of each, %",
        "busiest ÷ even",
        "busiest ÷ held",
    ]
    return markdown_table(head, rows)


def _steps(figures: Figures) -> str:
    rows = [
        [f"{batch}", figures.show(f"step {batch}", "cpu", 1), figures.show(f"step {batch}", "calls", 2)]
        for batch in STEPS
    ]
    return markdown_table(["jobs in a step", "Redis µs/job to run", "calls/job"], rows)


def _replica(figures: Figures) -> str:
    cells = [figures.show("replica", column) for column in ("rate", "primary", "replica", "replicated")]
    cells += [figures.show("replica", f"{name} p{rank}", 1) for name in LAGS for rank in (50, 99, 100)]
    head = ["jobs/s", "primary µs/job", "replica µs/job", "bytes to the replica/job"]
    head += [f"{name} {rank}, ms" for name in LAGS for rank in ("p50", "p99", "longest")]
    return markdown_table(head, [cells])


def _records(figures: Figures) -> str:
    rows = []
    for state in ("waiting", "finished"):
        used, resident = (
            figures.median("records", f"{state} {name}") for name in ("used_memory", "used_memory_rss")
        )
        rows.append([state, number(used), number(resident)])
    fork, save = figures.show("records", "fork", 1), figures.show("records", "save")
    table = markdown_table(
        [f"{figures.show('records', 'jobs')} jobs", "MB of data", "MB of the process"], rows
    )
    return f"{table}\n\nA copy of the finished ones held Redis for {fork} ms (fork) and took {save} s."
