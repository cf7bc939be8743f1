"""Deadlines: the tick that enforces timeouts."""

import asyncio
from collections.abc import Callable

from worker.lane_pair import LanePair
from worker.timeouts import TICK_SECONDS


class Deadlines:
    """Stops attempts at their deadlines, and abandons handlers that do not end; see `worker.timeouts`.

    Args:
        publish: writes a snapshot of the leases for the heartbeat process, at each tick.
    """

    def __init__(self, lanes: LanePair, publish: Callable[[], None]) -> None:
        self._lanes = lanes
        self._publish = publish

    async def run(self) -> None:
        while True:
            self._lanes.tick()
            self._publish()
            await asyncio.sleep(TICK_SECONDS)
