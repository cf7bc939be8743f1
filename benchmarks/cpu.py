"""Processor time of process groups: unlike a rate, it hardly depends on what else the machine does."""

import os
from pathlib import Path


def seconds(leaders: set[int]) -> float:
    """Processor seconds of these processes and all in their sessions; 0 where there is no /proc."""
    used = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(path.parent.name) in leaders or int(fields[3]) in leaders:
            used += int(fields[11]) + int(fields[12])
    return used / os.sysconf("SC_CLK_TCK")
