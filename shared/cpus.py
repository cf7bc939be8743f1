"""The number of CPUs that a process may use."""

import os
import sys
from contextlib import suppress
from math import ceil
from pathlib import Path


def available_cpus() -> int:
    """The CPUs that this process may use: those it is bound to, or fewer if its container has a limit."""
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # ValueError: "max", without a limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cpus = min(cpus, ceil(int(quota) / int(period)))
    return cpus
