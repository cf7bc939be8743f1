"""Checks of a scenario: a figure beside its limit, as a row of a Markdown table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dev.markdown import markdown_table


@dataclass(frozen=True, slots=True)
class Check:
    """A figure of a scenario and its limit, both as text; the name begins with the fault and a colon."""

    name: str
    figure: str
    limit: str
    passed: bool

    @property
    def verdict(self) -> str:
        return "ok" if self.passed else "FAILED"


def at_most(name: str, figure: float, limit: float, unit: str = "", *, note: str = "") -> Check:
    """Check that a figure does not exceed its limit."""
    return Check(name, _with_unit(figure, unit) + note, "≤ " + _with_unit(limit, unit), figure <= limit)


def at_least(name: str, figure: int, limit: int) -> Check:
    """Check that a count reaches its limit."""
    return Check(name, f"{figure:,}", f"≥ {limit:,}", figure >= limit)


def exactly(name: str, figure: int, limit: int, *, note: str = "") -> Check:
    """Check that a count has one value."""
    return Check(name, f"{figure:,}{note}", f"{limit:,}", figure == limit)


def empty(name: str, found: Sequence[str], *, note: str = "") -> Check:
    """Check that a list is empty; its first items are shown."""
    return Check(name, f"{len(found):,}{note}{examples(found)}", "0", not found)


def figure(name: str, value: str) -> Check:
    """A figure without a limit; always ok."""
    return Check(name, value, "-", True)


def examples(items: Sequence[str]) -> str:
    """A note with the first three items; empty without items."""
    return f" ({'; '.join(items[:3])})" if items else ""


def table(checks: Iterable[Check]) -> str:
    """The checks as a Markdown table; the fault, up to the first colon of a name, has its own column."""
    rows: list[tuple[str, ...]] = []
    last = ""
    for check in checks:
        fault, _, name = check.name.partition(": ")
        rows.append((fault if fault != last else "", name, check.figure, check.limit, check.verdict))
        last = fault
    return markdown_table(("fault", "check", "figure", "limit", "verdict"), rows)


def _with_unit(value: float, unit: str) -> str:
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    return f"{number} {unit}".rstrip()
