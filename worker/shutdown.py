"""Shutdown: the orderly end of a worker, which loses no job and writes every outcome."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from shared.logging import get_log
from worker.lane_pair import LanePair

RELEASE_SECONDS = 0.3  # for a handler to end once it is stopped
FLUSH_SECONDS = 0.3

log = get_log(__name__)


class Shutdown:
    """Drains the lanes of a worker after a signal, or at its planned end.

    Args:
        grace: seconds that running jobs have to finish.

    Attributes:
        requested: set by the first signal, or at the planned end.
    """

    def __init__(self, grace: float) -> None:
        self.requested = asyncio.Event()
        self._grace = grace
        self._signalled = False
        self._hurry = False
        self._changed = asyncio.Event()

    def request(self) -> None:
        """Begin the shutdown after a signal; a second one ends the grace at once."""
        self._hurry = self._signalled
        self._signalled = True
        self.begin()

    def begin(self) -> None:
        """Begin the shutdown, unless it has begun."""
        self.requested.set()
        self._changed.set()

    def note_change(self) -> None:
        """Let `drain` check again: an attempt has ended, or a step is done."""
        self._changed.set()

    async def drain(self, lanes: LanePair) -> bool:
        """Claim nothing more; let jobs finish within the grace; release the rest; write all outcomes.

        Returns:
            Whether all outcomes were written; the leases of the others will run out.
        """
        lanes.stop_claiming()
        await self._until(lambda: not lanes.stepping, FLUSH_SECONDS)  # the claims of a step are on their way
        await self._until(lambda: not lanes.running or self._hurry, self._grace)
        lanes.release()
        await self._until(lambda: not lanes.running, RELEASE_SECONDS)
        lanes.abandon()
        written = await self._until(lambda: not lanes.unwritten and not lanes.stepping, FLUSH_SECONDS)
        if not written:
            log.error("outcomes could not be written; their leases will run out", jobs=lanes.unwritten)
        return written

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition of the lanes; returns False if the time was over first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        return condition()
