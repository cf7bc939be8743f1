"""Scrapes of real processes, for tests."""

from collections import Counter

import httpx
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, Counter[tuple[str, ...]]]


def scrape(url: str) -> Samples:
    """The samples by name, then by the values of their labels, in the order of the labels' names."""
    found: Samples = {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics").raise_for_status().text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, Counter())[labels] = int(sample.value)
    return found


def sum_of(name: str, *scrapes: Samples) -> Counter[tuple[str, ...]]:
    """The samples of a name, summed over these processes, without those that are zero."""
    total: Counter[tuple[str, ...]] = Counter()
    for samples in scrapes:
        total += samples.get(name, Counter())
    return total
