"""Percentiles of measured values, by the nearest rank."""

from collections.abc import Collection


def percentile(values: Collection[float], percent: float) -> float:
    """The smallest value that `percent` % of the values do not exceed; 0 if there are no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))] if ordered else 0.0
