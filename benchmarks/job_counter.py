"""Counts of started and finished jobs across processes, at the cost of one store into shared memory per job.

A worker of any library calls `count_finished()` in its job; the benchmark reads the sum with `read_count()`.
A job that carries the time of its submission leaves its latency as well.
"""

import mmap
import os
import struct
import threading
import time
from pathlib import Path

FOLDER = "JOB_COUNTER_FOLDER"
_cells: dict[str, mmap.mmap] = {}
_counts = {"finished": 0, "started": 0}
_lock = threading.Lock()  # some libraries run jobs in threads


def count_finished(sent: float = 0.0) -> None:
    """Count one finished job of this process; `sent` is the time of its submission, to keep its latency."""
    if sent:
        seconds = time.time() - sent  # before the file is opened, which takes a while
        with _path("latency").open("a") as file:
            file.write(f"{seconds}\n")
    _add("finished")


def count_started() -> None:
    """Count one job that has started and takes a while."""
    _add("started")


def read_count(folder: Path, kind: str = "finished") -> int:
    """The number of jobs that all processes have finished, or started."""
    return sum(struct.unpack("<Q", path.read_bytes())[0] for path in folder.glob(f"*.{kind}"))


def read_latencies(folder: Path) -> list[float]:
    """Seconds from submission to start, in the order of the starts."""
    return [float(line) for path in folder.glob("*.latency") for line in path.read_text().split()]


def _add(kind: str) -> None:
    with _lock:
        cell = _cells.get(kind)
        if cell is None:
            cell = _cells[kind] = _open(_path(kind))
        _counts[kind] += 1
        struct.pack_into("<Q", cell, 0, _counts[kind])


def _path(kind: str) -> Path:
    return Path(os.environ[FOLDER]) / f"{os.getpid()}.{kind}"


def _open(path: Path) -> mmap.mmap:
    path.with_suffix(".new").write_bytes(bytes(8))
    path.with_suffix(".new").rename(path)
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 8)
