"""The heartbeat: a thread that renews leases, so that a handler which blocks the event loop loses none."""

import asyncio
import time
from collections.abc import Callable, Sequence
from threading import Thread

from shared.errors import QueueUnavailable
from shared.logging import get_log
from shared.store.client import connect
from shared.store.job_store import JobStore
from shared.store.model import Presence, Retention
from shared.store.multiplexer import Multiplexer
from worker.slots import Slots

WATCH_SECONDS = 0.5
BLOCKED_SECONDS = 1.0

log = get_log(__name__)


class Heartbeat:
    """Beats every third of the lease until it is stopped, and watches the worker's event loop.

    A beat always writes, so the heartbeat notices a fail-over even while the worker is idle.

    Args:
        on_failover: called in the heartbeat's thread, as the `Multiplexer` calls it.
    """

    def __init__(
        self,
        url: str,
        presence: Presence,
        slots: Sequence[Slots],
        *,
        lease: float,
        on_failover: Callable[[], None],
    ) -> None:
        self._url = url
        self._presence = presence
        self._slots = slots
        self._lease = lease
        self._on_failover = on_failover
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the beat; returns when the thread has ended, or soon after if Redis does not answer."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=0.2)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._beat_until_stopped())

    async def _beat_until_stopped(self) -> None:
        runner = Multiplexer(
            connect(self._url),
            timeout=max(1.0, self._lease / 3),
            patience=0.0,
            on_failover=self._on_failover,
        )
        store = JobStore(runner, Retention())
        try:
            while not self._stop.is_set():
                heard = await self._beat(store)
                await self._watch(self._lease / 3 if heard else WATCH_SECONDS)
        finally:
            await runner.aclose()

    async def _beat(self, store: JobStore) -> bool:
        claims = [claim for slots in self._slots for claim in slots.leases()]
        try:
            lost, cancelled = await store.beat(
                self._presence, claims, running=len(self._slots[0].running), lease=self._lease
            )
        except QueueUnavailable:
            return False  # the pump logs it
        if lost or cancelled:
            for slots in self._slots:
                slots.heard(lost, cancelled)
        return True

    async def _watch(self, seconds: float) -> None:
        """Look at the worker's event loop for some seconds, or until the beat is stopped."""
        end = time.monotonic() + seconds
        blocked = False
        while not self._stop.is_set() and time.monotonic() < end:
            late = time.monotonic() - self._slots[0].ticked_at
            if late > BLOCKED_SECONDS and not blocked:
                jobs = [claim.job_id for slots in self._slots if (claim := slots.blocking_job())]
                job_id = jobs[0] if jobs else None
                log.warning("the event loop is blocked", seconds=round(late, 1), job_id=job_id)
            blocked = late > BLOCKED_SECONDS
            await self._pause(min(WATCH_SECONDS, seconds))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass
