"""CancellationListener: stops the running jobs whose cancellation is published."""

import asyncio
import random
from contextlib import suppress

from shared.store import redis_keys
from shared.store.client import REDIS_GONE
from worker.connections import Connections
from worker.lane_pair import LanePair

PING_SECONDS = 10.0  # the longest time for which the connection may be dead unnoticed


class CancellationListener:
    """Subscribes to cancellations. Those published while Redis is away come with the next heartbeat."""

    def __init__(self, connections: Connections, lanes: LanePair) -> None:
        self._lanes = lanes
        self._lost = asyncio.Event()
        self._connection = connections.open_for_messages(
            timeout=5.0, on_message=self._stop_job, on_loss=self._lost.set
        )

    async def run(self) -> None:
        while True:
            self._lost.clear()
            with suppress(*REDIS_GONE):
                await self._connection.execute_command("SUBSCRIBE", redis_keys.CANCEL)
                while not self._lost.is_set():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(PING_SECONDS):
                            await self._lost.wait()
                            break
                    await self._connection.execute_command("PING")
            await asyncio.sleep(random.uniform(0.2, 0.5))

    def _stop_job(self, channel: bytes, job_id: bytes) -> None:
        self._lanes.cancel({job_id.decode()})
