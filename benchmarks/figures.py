"""Figures of all rounds, by row and column of a table; their median and range are shown."""

import statistics
from collections import defaultdict

from benchmarks.progress import log

ABSENT = "–"


class Figures:
    """The measurements of one section."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, row: str, column: str, value: float) -> None:
        self._values[row, column].append(value)
        log(f"  {row:22} {column:18} {value:>12,.4g}")

    def median(self, row: str, column: str) -> float | None:
        values = self._values.get((row, column))
        return statistics.median(values) if values else None

    def pairs(self, row: str, base: str, column: str) -> str:
        """The median of the ratios of two rows' values, each to that of the same turn, as text."""
        values, others = self._values.get((row, column), []), self._values.get((base, column), [])
        ratios = [value / other for value, other in zip(values, others, strict=False)]
        return f"{statistics.median(ratios):.2f}" if ratios else ABSENT

    def spread(self, row: str, column: str, digits: int = 0) -> str:
        """The smallest and the largest value, as text."""
        values = self._values.get((row, column))
        return f"{min(values):,.{digits}f} to {max(values):,.{digits}f}" if values else ABSENT

    def show(self, row: str, column: str, digits: int = 0) -> str:
        """The median, as text."""
        return number(self.median(row, column), digits)


def number(value: float | None, digits: int = 0) -> str:
    return ABSENT if value is None else f"{value:,.{digits}f}"


def ratio(value: float | None, base: float | None) -> str:
    return ABSENT if not value or not base else f"{value / base:.2f}"
