"""Several APIs on one Redis that are busy by turns, for a moment each.

For a price that is small beside the noise of a machine: what slows a turn of one slows those of the others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis

from benchmarks.figures import Figures
from benchmarks.redis_usage import usage_of
from benchmarks.sections import http
from benchmarks.slow_scripts import slow_scripts_recorded
from dev.redis import server_command
from dev.stack import Stack, free_port, running, wait_until

TURNS = 4  # of each API in a round
SECONDS = 1.5


def measure_by_turns(
    figures: Figures,
    environments: Mapping[str, Mapping[str, str]],
    rounds: int,
    methods: Sequence[str] = http.METHODS,
    *,
    replica: bool = False,
) -> None:
    """Add the rates, latencies and processor times of `POST /jobs` and `GET /jobs/{id}`.

    "Redis µs" is the processor time of Redis for each call of a script.

    Args:
        environments: of the APIs, by their names, which are rows of the figures.
        replica: whether Redis has a replica.
    """
    with (
        running(api=False, **http.QUIET) as stack,
        slow_scripts_recorded(stack.admin_url),
        Redis.from_url(stack.admin_url) as redis,
    ):
        if replica:
            start_replica(stack, redis)
        servers = {}
        for name, environment in environments.items():
            process, port = http.start_server(stack, http.APPS["job_server"], environment)
            stack.workers.append(process)  # the stack ends it
            servers[name] = port, process.pid
        for turn in range(TURNS * rounds):
            for method in methods:
                for name in sorted(servers, reverse=bool(turn % 2)):
                    before = usage_of(redis)
                    http.load(figures, name, method, *servers[name], SECONDS)
                    spent = usage_of(redis).since(before)
                    figures.add(name, f"{method} Redis µs", spent.cpu / spent.calls)


def start_replica(stack: Stack, redis: Any) -> None:
    """Start a replica of the stack's Redis, which the stack ends; it has all data when this returns."""
    folder = stack.folder / "replica"
    folder.mkdir()
    command = [*server_command(free_port(), folder), "--repl-diskless-sync-delay", "0"]
    stack.workers.append(
        stack.spawn("replica", [*command, "--replicaof", "127.0.0.1", str(stack.redis_port)])
    )
    wait_until(lambda: redis.wait(1, 100) == 1, "the replica has all data")
