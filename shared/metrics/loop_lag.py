"""Lag of the event loop: how much later than planned its timers come."""

import asyncio
import time

from shared.metrics.metric_set import MetricSet
from shared.metrics.series import RecentGauge

LOOK_SECONDS = 0.25
WINDOW_SECONDS = 15.0  # a usual time between two scrapes


def declare_lag(metrics: MetricSet) -> RecentGauge:
    return metrics.recent_gauge(
        "event_loop_lag_seconds", "Largest delay of a timer of the event loop in the last 15 to 30 seconds."
    )


async def watch_lag(gauge: RecentGauge) -> None:
    """Measure the lag until cancelled.

    The gauge shows the largest lag of the window before and of the one that runs: a scrape would miss most
    of the short blockages.
    """
    before, largest = 0.0, 0.0
    window_ends = time.monotonic() + WINDOW_SECONDS
    while True:
        planned = time.monotonic() + LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        now = time.monotonic()
        if now > window_ends:
            before, largest, window_ends = largest, 0.0, now + WINDOW_SECONDS
        largest = max(largest, now - planned)
        gauge.set(max(before, largest))
