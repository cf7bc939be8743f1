"""Cells: the numbers behind the series of one process, or of all processes of one API."""

import fcntl
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

from shared.metrics.series import Numbers

CELL_BYTES = 8
CAPACITY = 1 << 17  # cells; pages of them that are never written cost nothing


class Cells:
    """Floats of this process, and those of the other processes that share a folder with it.

    Each process writes its own file in the folder, and holds a lock on it. A process that dies leaves its
    numbers there: counters must not fall. The next process goes on with the file and its numbers.

    Attributes:
        own: the cells that this process writes.

    Args:
        count: the number of cells.
        folder: for the files of all processes; None for a process without others, whose cells are a list: an
            addition takes a third of the time that it takes in shared memory.
        layout: a name of the cells' order. Processes of different releases share no cells.
    """

    def __init__(self, count: int, folder: Path | None = None, layout: str = "") -> None:
        self._folder = folder
        self._layout = layout
        self._descriptor = -1
        self._read: dict[str, memoryview[float]] = {}
        self.own: Numbers = [0.0] * count if folder is None else self._take_file(folder)

    def all(self) -> Sequence[Numbers]:
        """The cells of each process, this one's among them."""
        if self._folder is None:
            return [self.own]
        for path in self._folder.glob(f"{self._layout}-*"):
            if path.name not in self._read:
                with path.open("r+b") as file:
                    if os.fstat(file.fileno()).st_size == CAPACITY * CELL_BYTES:  # else it is just made
                        self._read[path.name] = _map(file.fileno())
        return list(self._read.values())

    def close(self) -> None:
        """Leave the file to the next process."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # its memory holds another descriptor of the lock
            os.close(self._descriptor)
            self._descriptor = -1

    def _take_file(self, folder: Path) -> "memoryview[float]":
        """Lock the first file that no living process holds."""
        number = 0
        while True:
            path = folder / f"{self._layout}-{number}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                number += 1
                continue
            os.ftruncate(descriptor, CAPACITY * CELL_BYTES)
            self._descriptor = descriptor
            self._read[path.name] = _map(descriptor)
            return self._read[path.name]


def _map(descriptor: int) -> "memoryview[float]":
    return memoryview(mmap.mmap(descriptor, CAPACITY * CELL_BYTES)).cast("d")
