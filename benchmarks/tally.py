"""Counts finished calls across processes, at the cost of one store into shared memory per call.

A worker of any library calls `tick()` in its job; whoever measures reads the sum with `total()`.
"""

import mmap
import os
import struct
from pathlib import Path

FOLDER = "TALLY_FOLDER"
_cell: mmap.mmap | None = None
_count = 0


def tick() -> None:
    """Count one finished job of this process."""
    global _cell, _count
    if _cell is None:
        _cell = _open(Path(os.environ[FOLDER]) / f"{os.getpid()}.tally")
    _count += 1
    struct.pack_into("<Q", _cell, 0, _count)


def total(folder: Path) -> int:
    """The jobs that all processes have finished."""
    return sum(struct.unpack("<Q", path.read_bytes())[0] for path in folder.glob("*.tally"))


def _open(path: Path) -> mmap.mmap:
    path.with_suffix(".new").write_bytes(bytes(8))
    path.with_suffix(".new").rename(path)
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 8)
