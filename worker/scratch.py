"""A folder of a worker process for files it needs for a while; if it is killed, another one removes it."""

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

PREFIX = "job-server-worker-"
LOCK = ".lock"


class Scratch:
    """A folder that is this process's own until it ends.

    Attributes:
        folder: its path, below the system's folder for temporary files.
    """

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix=PREFIX))
        new = self.folder / f"{LOCK}.new"  # nobody looks at it before it is locked
        self._lock = os.open(new, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        new.rename(self.folder / LOCK)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def sweep_scratch() -> int:
    """Remove the folders of processes that have died; returns how many."""
    removed = 0
    for lock in Path(gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), lock.open("rb") as file:  # locked: its owner lives; or it is another user's
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent)
            removed += 1
    return removed
