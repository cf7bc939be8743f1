"""Processor time of process groups, which depends less on other load than a rate does."""

import os
from pathlib import Path


def cpu_seconds(leaders: set[int]) -> float:
    """Processor seconds of these processes and all in their sessions; 0 where there is no /proc."""
    used = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        if int(path.parent.name) in leaders or int(fields[3]) in leaders:
            used += int(fields[11]) + int(fields[12])
    return used / os.sysconf("SC_CLK_TCK")
