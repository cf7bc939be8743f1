"""Series: a counter, a histogram, a gauge, each on cells of memory.

Their additions are on the hot paths: those of Prometheus' own library take locks and three times as long.
That library is loaded only where metrics are served (`shared/metrics/metric_set.py`).
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Protocol, overload

OTHER = "other"
"""In place of a label's value that is not among the known ones: a series for each would have no bound."""


class Numbers(Protocol):
    """Cells by their place."""

    @overload
    def __getitem__(self, at: int, /) -> float: ...
    @overload
    def __getitem__(self, at: slice, /) -> Iterable[float]: ...
    def __setitem__(self, at: int, value: float, /) -> None: ...


NO_CELLS: Numbers = memoryview(b"").cast("d")


class Counter:
    """A number that only rises. One addition costs under 0.1 µs: it takes no lock, and looks up no label."""

    __slots__ = ("_at", "cells")

    def __init__(self, at: int) -> None:
        self._at = at
        self.cells = NO_CELLS

    def add(self, amount: float = 1.0) -> None:
        self.cells[self._at] += amount


class Histogram:
    """Observations by size: their sum, then their number up to each bound, and beyond. One costs 0.2 µs."""

    __slots__ = ("_at", "_bounds", "cells")

    def __init__(self, at: int, bounds: Sequence[float]) -> None:
        self._at = at
        self._bounds = bounds
        self.cells = NO_CELLS

    @property
    def count(self) -> float:
        """The number of observations of this process."""
        return sum(self.cells[self._at + 1 + bucket] for bucket in range(len(self._bounds) + 1))

    def observe(self, value: float) -> None:
        cells, at = self.cells, self._at
        cells[at] += value
        cells[at + 1 + bisect_left(self._bounds, value)] += 1.0


class RecentGauge:
    """A number of a process, with the time when it was set; of several processes the largest is shown."""

    __slots__ = ("_at", "cells")

    def __init__(self, at: int) -> None:
        self._at = at
        self.cells = NO_CELLS

    def set(self, value: float) -> None:
        self.cells[self._at], self.cells[self._at + 1] = value, time.time()
