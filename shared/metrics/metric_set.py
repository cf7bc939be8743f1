"""MetricSet: the metrics of a process, with all their series known from the start."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.metrics.cells import CAPACITY, Cells
from shared.metrics.families import Family, FamilyText, Labels, Series
from shared.metrics.series import Counter, Histogram, RecentGauge

PREFIX = "job_server_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Reading = Iterable[tuple[Labels, float]]
S = TypeVar("S", bound=Series)


class _Reading(NamedTuple):
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily]
    name: str
    about: str
    labels: Labels
    read: Callable[[], Reading]


class MetricSet(Collector):
    """The metrics of a process, in a registry of their own.

    Declare all metrics, then call `open`, then add to them. Nothing is shared with other sets, apart from
    the cells in a folder that `open` is given.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._families: list[Family] = []
        self._series: list[Series] = []
        self._readings: list[_Reading] = []
        self._texts: list[FamilyText] = []
        self._size = 0
        self._cells: Cells | None = None

    # -- declarations

    def counter(
        self, name: str, about: str, labels: Labels = (), values: Iterable[Labels] = ((),)
    ) -> list[Counter]:
        """Declare a counter; returns one for each of the labels' values, in their order."""
        family = self._declare(Counter, name, about, labels, values)
        return self._add([Counter(at) for at in family.places])

    def histogram(
        self,
        name: str,
        about: str,
        bounds: Sequence[float],
        labels: Labels = (),
        values: Iterable[Labels] = ((),),
        *,
        sparse: bool = False,
    ) -> list[Histogram]:
        """Declare a histogram, as `counter` does; `sparse` leaves out series without observations."""
        family = self._declare(Histogram, name, about, labels, values, tuple(bounds), sparse)
        return self._add([Histogram(at, family.bounds) for at in family.places])

    def recent_gauge(self, name: str, about: str) -> RecentGauge:
        """Declare a gauge that a process sets again and again."""
        [gauge] = self._add([RecentGauge(self._declare(RecentGauge, name, about, (), ((),)).at)])
        return gauge

    def gauge(self, name: str, about: str, read: Callable[[], Reading], labels: Labels = ()) -> None:
        """Declare a gauge that is read when it is scraped."""
        self._readings.append(_Reading(GaugeMetricFamily, PREFIX + name, about, labels, read))

    def rising(self, name: str, about: str, read: Callable[[], Reading], labels: Labels = ()) -> None:
        """Declare a counter that is read when it is scraped."""
        self._readings.append(_Reading(CounterMetricFamily, PREFIX + name, about, labels, read))

    def open(self, folder: Path | None = None) -> None:
        """Give the series their cells; with a folder, those of all processes that open it count together."""
        layout = sha256(repr(self._families).encode()).hexdigest()[:16]
        self._cells = Cells(self._size, folder, layout)
        for series in self._series:
            series.cells = self._cells.own
        self._texts = [FamilyText(family) for family in self._families]

    def close(self) -> None:
        if self._cells is not None:
            self._cells.close()

    # -- scrapes

    def text(self) -> bytes:
        """The answer to a scrape, of the type CONTENT_TYPE."""
        every = self._cells.all() if self._cells else []
        lines = [line for family in self._texts for line in family.lines(every)]
        return "".join(lines).encode() + generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        return ()  # the registry would collect the metrics to find their names

    def collect(self) -> Iterator[Metric]:
        """The metrics that are read at a scrape."""
        for kind, name, about, labels, read in self._readings:
            metric = kind(name, about, labels=labels)
            for values, number in read():
                metric.add_metric(values, number)
            yield metric

    def _declare(
        self,
        kind: type[Series],
        name: str,
        about: str,
        labels: Labels,
        values: Iterable[Labels],
        bounds: tuple[float, ...] = (),
        sparse: bool = False,
    ) -> Family:
        family = Family(kind, PREFIX + name, about, labels, tuple(values), self._size, bounds, sparse)
        self._size += family.cells * len(family.values)
        if self._size > CAPACITY:
            raise ValueError(f"There are too many series: {self._size} cells of {CAPACITY}.")
        self._families.append(family)
        return family

    def _add(self, series: list[S]) -> list[S]:
        self._series += series
        return series
