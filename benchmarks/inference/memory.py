"""Memory of processes and their children: the proportional share (PSS), so that shared pages count once."""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

PAUSE = 0.5  # seconds
KILOBYTE = 1024


def descendants(pid: int) -> set[int]:
    """A process and all that it and its children have started; empty where there is no /proc."""
    found, left = set(), [pid]
    while left:
        pid = left.pop()
        if pid not in found and Path(f"/proc/{pid}").exists():
            found.add(pid)
            for file in Path(f"/proc/{pid}/task").glob("*/children"):
                left += map(int, _read(file).split())
    return found


def command_line(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


def pss(pids: set[int]) -> float:
    """The memory of processes together, in MB."""
    found = (re.search(r"^Pss:\s+(\d+) kB", _read(Path(f"/proc/{pid}/smaps_rollup")), re.M) for pid in pids)
    return sum(int(match[1]) for match in found if match) * KILOBYTE / 1e6


class MemoryPeak:
    """The most memory that groups of processes take together, sampled within a `with` block.

    Args:
        groups: the pids of each group at this moment, by its name.
        pause: seconds between two samples.

    Attributes:
        most: the largest sample of each group, in MB.
    """

    def __init__(self, groups: Callable[[], dict[str, set[int]]], *, pause: float = PAUSE) -> None:
        self.most: dict[str, float] = {}
        self._groups, self._pause = groups, pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "MemoryPeak":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(self._pause):
            for name, pids in self._groups().items():
                self.most[name] = max(self.most.get(name, 0.0), pss(pids))


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # the process has ended
        return ""
