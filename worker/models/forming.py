"""The choice of a batch among the jobs that wait for a model."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from worker.models.batch import Batch

WINDOW = 4  # batches: the jobs among which those of similar costs are sought


class Waiting(Protocol):
    """A job that waits for a batch.

    Attributes:
        cost: by the batch's `cost_of`; 1 without one.
        alone: whether the job must run alone.
    """

    @property
    def cost(self) -> int: ...
    @property
    def alone(self) -> bool: ...


W = TypeVar("W", bound=Waiting)


def next_batch(waiting: Sequence[W], batch: Batch) -> list[W]:
    """The jobs of the next batch: the oldest one, and those that fit beside it.

    Args:
        waiting: the jobs that wait, oldest first; at least one.
        batch: the bounds. With `cost_of`, the others are those of the most similar costs among the oldest
            jobs, so that little padding is computed and no job waits for ever.
    """
    oldest = waiting[0]
    if oldest.alone:
        return [oldest]
    window = [job for job in waiting[: WINDOW * batch.size] if not job.alone]
    if batch.cost_of is None:
        return window[: batch.size]
    window.sort(key=lambda job: job.cost)
    first = last = window.index(oldest)
    while last - first + 1 < batch.size:
        grown = [
            (at, span)
            for at, span in ((first - 1, (first - 1, last)), (last + 1, (first, last + 1)))
            if 0 <= at < len(window) and _fits(window[span[0] : span[1] + 1], batch)
        ]
        if not grown:
            break
        _, (first, last) = min(grown, key=lambda step: abs(window[step[0]].cost - oldest.cost))
    return window[first : last + 1]


def _fits(jobs: Sequence[Waiting], batch: Batch) -> bool:
    """Whether jobs, sorted by cost, stay within the bound of a batch."""
    if batch.cost is None:
        return True
    cost = jobs[-1].cost * len(jobs) if batch.padded else sum(job.cost for job in jobs)
    return cost <= batch.cost
