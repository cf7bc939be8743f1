"""ClaimReturner: returns the claims whose handlers a blocked or dead worker has not begun."""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress

from shared.errors import QueueUnavailable
from shared.store.job_leases import JobLeases
from shared.store.retention import Retention
from shared.store.workers import WorkerInfo
from worker.held_claims import STALE_SECONDS
from worker.lease_snapshot import ShardSnapshots, Snapshot

LOOK_SECONDS = 0.5
BLOCKED_SECONDS = (
    2 * STALE_SECONDS
)  # the age of a snapshot from which on the worker starts none of its claims
LARGEST_RETURN = 100  # claims of a call, so that Redis is not held for long
DEATH_SECONDS = 0.3  # in which a process whose connections are closed ends


class ClaimReturner:
    """Returns claims to their places in the queues, uncharged.

    The claims are those that a worker holds, and those of its steps under way. A worker writes a snapshot
    every 0.1 s. So an old one shows a blocked event loop, and other workers may be idle meanwhile.

    Args:
        worker_info: the worker.
        pumps: id and number of each of its pumps, in the order of the snapshot's steps.
        retention: how long a job is kept that was cancelled meanwhile.
        memory: the memory with the snapshots.
        job_leases: for the calls.
    """

    def __init__(
        self,
        worker_info: WorkerInfo,
        pumps: Sequence[tuple[str, int]],
        retention: Retention,
        memory: ShardSnapshots,
        job_leases: JobLeases,
    ) -> None:
        self._worker_info = worker_info
        self._pumps = pumps
        self._retention = retention
        self._memory = memory
        self._job_leases = job_leases
        self._returned_of = 0.0  # the time of the snapshot whose claims were returned last

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Return the claims of a blocked worker, once for each time that it is blocked."""
        snapshot = self._memory.read()
        if snapshot is None or snapshot.written_at == self._returned_of:
            return
        if time.monotonic() - snapshot.written_at > BLOCKED_SECONDS:
            with suppress(QueueUnavailable):  # the next look tries again
                await self._return_claims(snapshot)
                self._returned_of = snapshot.written_at

    async def return_of_dead(self) -> None:
        """Return the claims of a worker that ends without having returned them itself, as after a kill."""
        snapshot = self._memory.read()
        if snapshot is None or not (snapshot.held or any(snapshot.steps)):
            return
        for _ in range(10):
            if os.getppid() != self._worker_info.pid:
                with suppress(QueueUnavailable):  # then the leases run out
                    await self._return_claims(snapshot)
                return
            await asyncio.sleep(DEATH_SECONDS / 10)

    async def _return_claims(self, snapshot: Snapshot) -> None:
        leases = list(snapshot.held)
        for pump, step in zip(self._pumps, snapshot.steps, strict=True):
            if step:
                leases += await self._job_leases.step_claims(*pump, step)
        for at in range(0, len(leases), LARGEST_RETURN):
            await self._job_leases.return_claims(
                self._worker_info.worker_id, leases[at : at + LARGEST_RETURN], self._retention
            )
