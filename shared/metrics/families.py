"""Families: metrics with all their series, and their lines in Prometheus' text format."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from prometheus_client.utils import floatToGoString

from shared.metrics.series import Counter, Histogram, Numbers, RecentGauge

FRESH_SECONDS = 60.0  # for which a number of another process is shown that may have died
KINDS = {Counter: "counter", Histogram: "histogram", RecentGauge: "gauge"}

Labels = tuple[str, ...]
Series = Counter | Histogram | RecentGauge


class Family(NamedTuple):
    """A metric with its series, whose cells begin at `at`.

    Attributes:
        kind: Counter, Histogram or RecentGauge.
        values: the values of the labels of each series.
        bounds: of a histogram; without that for infinity.
        sparse: whether series that are zero are left out.
    """

    kind: type[Series]
    name: str
    about: str
    labels: Labels
    values: tuple[Labels, ...]
    at: int
    bounds: tuple[float, ...] = ()
    sparse: bool = False

    @property
    def cells(self) -> int:
        """The number of cells of each series."""
        return {Counter: 1, RecentGauge: 2}.get(self.kind, len(self.bounds) + 2)

    @property
    def places(self) -> Iterator[int]:
        """The first cell of each series."""
        return (self.at + number * self.cells for number in range(len(self.values)))


class FamilyText:
    """The lines of a family.

    All but the numbers is written once: the library's own text of some hundred series took tens of
    milliseconds of the event loop at each scrape, this one takes 2. It is written when a series is first
    shown: most series of a sparse histogram never are, and all of them took 9 ms of an API's start.
    """

    def __init__(self, family: Family) -> None:
        name = family.name + ("_total" if family.kind is Counter else "")
        self._family = family
        self._name = name
        self._head = f"# HELP {name} {family.about}\n# TYPE {name} {KINDS[family.kind]}\n"
        bounds = [floatToGoString(bound) for bound in (*family.bounds, float("inf"))]  # type: ignore[no-untyped-call]
        self._buckets = [f'le="{bound}"' for bound in bounds] if family.kind is Histogram else []
        self._line_heads: dict[Labels, list[str]] = {}

    def lines(self, every: Sequence[Numbers]) -> Iterator[str]:
        """The lines with the sums over the cells of all processes."""
        yield self._head
        for at, values in zip(self._family.places, self._family.values, strict=True):
            numbers = [list(cells[at : at + self._family.cells]) for cells in every]
            yield from self._lines_of_series(values, numbers)

    def _lines_of_series(self, values: Labels, numbers: list[list[float]]) -> Iterator[str]:
        if self._family.kind is RecentGauge:
            since = time.time() - FRESH_SECONDS
            fresh = [value for value, set_at in numbers if set_at >= since]
            yield f"{self._heads_of(values)[0]}{max(fresh, default=0.0)!r}\n"
            return
        total, *counts = numbers[0] if len(numbers) == 1 else map(sum, zip(*numbers, strict=True))
        if self._family.kind is Counter:
            yield f"{self._heads_of(values)[0]}{total!r}\n"
        elif any(counts) or not self._family.sparse:
            heads = self._heads_of(values)
            reached = 0.0
            for head, count in zip(heads, counts, strict=False):
                reached += count  # each bucket holds all observations up to its bound
                yield f"{head}{reached!r}\n"
            yield f"{heads[-2]}{reached!r}\n"
            yield f"{heads[-1]}{total!r}\n"

    def _heads_of(self, values: Labels) -> list[str]:
        heads = self._line_heads.get(values)
        if heads is None:
            heads = _line_heads(self._name, self._family.labels, values, self._buckets)
            self._line_heads[values] = heads
        return heads


def _line_heads(name: str, labels: Labels, values: Labels, buckets: list[str]) -> list[str]:
    """The beginnings of a series' lines: of a histogram, which has buckets, those, its count and its sum."""
    pairs = [f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)]
    if not buckets:
        return [f"{name}{_in_braces(pairs)} "]
    begin = f"{name}_bucket{{{''.join(f'{pair},' for pair in pairs)}"
    heads = [f"{begin}{bucket}}} " for bucket in buckets]
    return [*heads, f"{name}_count{_in_braces(pairs)} ", f"{name}_sum{_in_braces(pairs)} "]


def _in_braces(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
