"""Figures gathered over the rounds, and the Markdown tables made of them."""

import statistics
import subprocess
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class Figures:
    """Measurements by row and column; the medians count."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, row: str, column: str, value: float) -> None:
        self._found[row, column].append(value)
        print(f"  {row} / {column}: {value:,.4g}", file=sys.stderr, flush=True)

    def median(self, row: str, column: str) -> float | None:
        values = self._found.get((row, column))
        return statistics.median(values) if values else None

    def spread(self, row: str, column: str, digits: int = 0) -> str:
        values = self._found.get((row, column))
        return f"{min(values):,.{digits}f} to {max(values):,.{digits}f}" if values else "–"

    def show(self, row: str, column: str, digits: int = 0) -> str:
        return number(self.median(row, column), digits)


def number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def ratio(value: float | None, base: float | None) -> str:
    return "–" if not value or not base else f"{value / base:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def tolerated() -> Iterator[None]:
    """Let one measurement fail, as its own line in the log, without losing the others."""
    try:
        yield
    except (RuntimeError, TimeoutError, subprocess.TimeoutExpired):
        log(traceback.format_exc(limit=2))
