"""What a scenario takes and gives: its options, and rows of a Markdown table."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is to be.

    Attributes:
        seed: where every choice comes from.
        scale: 1 for the full run; less makes it shorter.
    """

    seed: int
    scale: float

    def times(self, full: int, *, least: int = 1) -> int:
        """A number of repetitions at this scale."""
        return max(least, round(full * self.scale))

    def chance(self, name: str) -> Random:
        """A source of choices of its own, so that one scenario does not shift another's."""
        return Random(f"{self.seed} {name}")


@dataclass(frozen=True, slots=True)
class Row:
    test: str
    figure: str
    limit: str
    good: bool


def at_most(test: str, figure: float, limit: float, unit: str = "", *, note: str = "") -> Row:
    """A figure that must not pass its limit."""
    return Row(test, _show(figure, unit) + note, "≤ " + _show(limit, unit), figure <= limit)


def exactly(test: str, figure: int, limit: int, *, note: str = "") -> Row:
    """A count that must be this one."""
    return Row(test, f"{figure:,}{note}", f"{limit:,}", figure == limit)


def report(test: str, figure: str) -> Row:
    """A figure that is told, not judged."""
    return Row(test, figure, "-", True)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not pass; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| test | figure | limit | verdict |", "| --- | --- | --- | --- |"]
    for row in rows:
        cells = (cell.replace("|", "/").replace("\n", " ") for cell in (row.test, row.figure, row.limit))
        lines.append(f"| {' | '.join(cells)} | {'ok' if row.good else 'FALLS SHORT'} |")
    return "\n".join(lines)


def _show(value: float, unit: str) -> str:
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    return f"{number} {unit}".rstrip()
