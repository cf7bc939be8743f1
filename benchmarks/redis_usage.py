"""Usage of Redis servers: processor time, calls of scripts, network, memory."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.slow_scripts import COMMANDS


class Usage(NamedTuple):
    """The usage of a server since its start, or between two moments.

    Attributes:
        cpu: processor microseconds of its main thread, which runs every command.
        calls: calls of scripts.
        received, sent: bytes from and to clients.
        replicated: bytes to replicas.
        memory: bytes of all data.
    """

    cpu: float
    calls: float
    received: float
    sent: float
    replicated: float
    memory: float

    def since(self, before: "Usage") -> "Usage":
        return Usage(*(now - then for now, then in zip(self, before, strict=True)))


def usage_of(redis: Any) -> Usage:
    cpu, stats, commands = (redis.info(section) for section in ("cpu", "stats", "commandstats"))
    return Usage(
        1e6 * (cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"]),
        sum(commands.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in COMMANDS),
        stats["total_net_input_bytes"],
        stats["total_net_output_bytes"],
        stats.get("total_net_repl_output_bytes", 0),
        redis.info("memory")["used_memory"],
    )


def total(usages: Sequence[Usage]) -> Usage:
    """The usage of several servers together."""
    return Usage(*map(sum, zip(*usages, strict=True)))
