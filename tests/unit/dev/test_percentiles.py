"""Percentiles by the nearest rank."""

import pytest

from dev.percentiles import percentile


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 50), (98.5, 99), (99, 99), (100, 100)])
def test_percentiles_of_a_hundred_values_in_any_order(percent, expected):
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_the_percentile_of_no_values_is_0():
    assert percentile([], 99) == 0
