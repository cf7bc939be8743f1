"""The goals of the comparison, with the measured values.

On the simulated device one model of each server is compared; with texts each server counts by its faster
setup, beside a peer.
"""

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.figures import Figures, number
from benchmarks.inference.models import call_seconds
from benchmarks.inference.setups import BATCH
from dev.markdown import markdown_table

MOST = "64 rate"
OURS = ("batched", "batched_2_hosts")
LITSERVE = ("litserve", "litserve_2_workers")
BENTOML = ("bentoml", "bentoml_2_workers")


class Goal(NamedTuple):
    """A goal with the measured value.

    Attributes:
        text: the measured quantity.
        bound: the value to reach.
        measured: None if something was not measured.
        at_most: whether the value must not exceed the bound.
    """

    text: str
    bound: float
    measured: float | None
    at_most: bool = False

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        met = self.measured <= self.bound if self.at_most else self.measured >= self.bound
        return "met" if met else "missed"


def goals_of(figures: Figures) -> Iterator[Goal]:
    """The goals, in the order of the tables."""

    def rate(load: str, *rows: str) -> float | None:
        return max(filter(None, (figures.median(row, f"{load} {MOST}") for row in rows)), default=None)

    def slower(quantity: str) -> float | None:
        batched, alone = figures.median("batched", quantity), figures.median("unbatched", quantity)
        return None if batched is None or alone is None else batched - alone

    device, short, mixed = (rate(load, "batched") for load in ("device", "short", "mixed"))
    yield Goal("device: batched ÷ unbatched", 15, _divide(device, rate("device", "unbatched")))
    yield Goal("device: batched ÷ the ideal rate", 0.8, _divide(device, BATCH / call_seconds(BATCH)))
    yield Goal("device: batched ÷ LitServe, one device", 1.8, _divide(device, rate("device", LITSERVE[0])))
    yield Goal("device: batched ÷ BentoML, one device", 2.2, _divide(device, rate("device", BENTOML[0])))
    yield Goal("device: a lone job, batched - unbatched, ms", 1, slower("device 1 p50"), at_most=True)
    yield Goal("the same right after load, ms", 1, slower("device after p50"), at_most=True)
    yield Goal("short: batched ÷ unbatched", 1.7, _divide(short, rate("short", "unbatched")))
    yield Goal("short: batched ÷ in_process", 1.5, _divide(short, rate("short", "in_process")))
    best = rate("short", *OURS)
    yield Goal("short: the best ÷ LitServe's best", 1.2, _divide(best, rate("short", *LITSERVE)))
    yield Goal("short: the best ÷ BentoML's best", 1.1, _divide(best, rate("short", *BENTOML)))
    yield Goal("mixed: batched ÷ in_process", 1, _divide(mixed, rate("mixed", "in_process")))
    memory = [figures.median(row, "embedding models") for row in ("batched", "in_process")]
    yield Goal("memory: a model host ÷ two child processes", 0.65, _divide(*memory), at_most=True)


def show_goals(figures: Figures) -> str:
    """The goals as a table."""
    rows = [
        [
            goal.text,
            f"{'≤' if goal.at_most else '≥'} {goal.bound:g}",
            number(goal.measured, 2),
            goal.verdict,
        ]
        for goal in goals_of(figures)
    ]
    return markdown_table(["64 clients, medians", "goal", "measured", ""], rows)


def _divide(value: float | None, by: float | None) -> float | None:
    return value / by if value and by else None
