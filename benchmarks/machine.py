"""The machine and the versions on which the figures were measured."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def describe_machine(redis_version: str) -> str:
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
