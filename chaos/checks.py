"""Checks of a scenario: a figure beside its limit, as a row of a Markdown table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dev.markdown import markdown_table


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of a scenario and its limit, both as text."""

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


def exactly(name: str, figure: int, limit: int, *, note: str = "") -> Check:
    """Check that a count has one value."""
    return Check(name, f"{figure:,}{note}", f"{limit:,}", figure == limit)


def empty(name: str, found: Sequence[str], *, note: str = "") -> Check:
    """A list that must be empty; its first entries are shown."""
    examples = f" ({'; '.join(found[:3])})" if found else ""
    return Check(name, f"{len(found):,}{note}{examples}", "0", not found)


def figure(name: str, value: str) -> Check:
    """A figure without a limit; always ok."""
    return Check(name, value, "-", True)


def table(checks: Iterable[Check]) -> str:
    """The checks as a Markdown table."""
    rows = [(check.name, check.figure, check.limit, check.verdict) for check in checks]
    return markdown_table(("check", "figure", "limit", "verdict"), rows)


def _with_unit(value: float, unit: str) -> str:
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    return f"{number} {unit}".rstrip()
