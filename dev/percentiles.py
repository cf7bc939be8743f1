"""Percentiles of measured values, by the nearest rank."""

from collections.abc import Collection
from math import ceil


def percentile(values: Collection[float], percent: float) -> float:
    """The smallest value that `percent` % of the values do not exceed; 0 if there are no values."""
    ordered = sorted(values)
    return ordered[max(0, ceil(percent * len(ordered) / 100) - 1)] if ordered else 0.0
