"""The peers: what each is, how it is set up, and how many jobs make a measurement of a second or more."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Peer:
    """One row of the tables.

    Attributes:
        name: what the row is called.
        module: its file in benchmarks/peers.
        packages: the distributions whose versions are shown.
        jobs: no-op jobs of one measurement.
        setup: how it is set up, in a few words.
        environment: variables for its processes.
        slots: the slots that it is measured with; those that gain nothing from more have one value.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    jobs: int
    setup: str
    environment: tuple[tuple[str, str], ...] = ()
    slots: tuple[int, ...] = (10, 100)

    @property
    def versions(self) -> str:
        return ", ".join(f"{package} {version(package)}" for package in self.packages)


OURS = Peer("job_server", "job_server", ("arq",), 40_000, "this project, full records, logs at WARNING")
LOGGING = Peer(
    "job_server_logging",
    "job_server",
    ("arq",),
    20_000,
    "the same, JSON logs at INFO",
    (("LOG_LEVEL", "INFO"),),
)
POLLING = Peer("arq_polling", "arq_polling", ("arq",), 2500, "poll_delay=0.01, orjson, no results, uvloop")
PEERS = (
    OURS,
    LOGGING,
    Peer("arq_default", "arq_default", ("arq",), 600, "as it comes", slots=(10,)),
    POLLING,
    Peer(
        "arq_records",
        "arq_records",
        ("arq",),
        1500,
        "arq_polling, and a record per change of state",
        slots=(10,),
    ),
    Peer("saq", "saq", ("saq",), 2500, "uvloop, orjson, no results"),
    Peer("taskiq", "taskiq", ("taskiq", "taskiq-redis"), 2500, "Redis streams, uvloop, no results"),
    Peer("streaq", "streaq", ("streaq",), 1500, "uvloop, no results", slots=(10,)),
    Peer("dramatiq", "dramatiq", ("dramatiq",), 2500, "a thread per slot"),
    Peer(
        "docket",
        "docket",
        ("pydocket",),
        1500,
        "uvloop, no results, minimum_check_interval=10 ms",
        slots=(10,),
    ),
    Peer("celery", "celery", ("celery",), 1000, "prefork, a child per core, no results", slots=(10,)),
    Peer("rq", "rq", ("rq",), 500, "SimpleWorker: one job at a time", slots=(10,)),
)


def machine(redis_version: str) -> str:
    """What the figures were measured on."""
    return (
        f"{_cpu()}, {_cores()} cores; Python {platform.python_version()}, Redis {redis_version} on loopback, "
        f"redis-py {version('redis')}, uvloop {version('uvloop')}"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
