"""The heartbeat process: `python -m worker.heartbeat.process`, started by the worker, renews its leases.

The process shares no interpreter with the handlers, so a handler that keeps the worker's interpreter busy
loses no lease before its own deadline. The end of the worker ends the process.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.errors import QueueUnavailable
from shared.store.client import connect, sentinels_of
from shared.store.job_leases import JobLeases
from shared.store.multiplexer import Multiplexer
from shared.store.retention import Retention
from shared.store.rows import Lease
from shared.store.workers import WorkerInfo
from worker.heartbeat.claim_returner import ClaimReturner
from worker.lease_snapshot import ShardSnapshots, Snapshot, SnapshotMemory
from worker.memory import resident_bytes

LAST_BEAT_SECONDS = 0.15
MAX_PAUSE = 0.5  # before a beat is repeated
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals for the worker alone: its leases are renewed until it has drained and ends this process."""


class HeartbeatLoop:
    """Beats every third of the lease; sends lost leases, cancelled jobs and fail-overs to the worker.

    Args:
        terms: the terms that `worker.heartbeat.supervisor` sends.
        memory: the memory with the worker's snapshots.
        writer: the connection to the worker.
        shard: the shard whose leases are renewed.

    Attributes:
        due: set to beat now.
        ending: set, with `due`, to end the loop after the current beat.
    """

    def __init__(
        self, terms: dict[str, Any], memory: SnapshotMemory, writer: asyncio.StreamWriter, shard: int = 0
    ) -> None:
        self.due = asyncio.Event()
        self.ending = False
        shards = 1 + max(of for *_, of in terms["pumps"])
        places = [place for place, (*_, of) in enumerate(terms["pumps"]) if of == shard]
        self._memory = ShardSnapshots(memory, shard, shards, places)
        self._writer = writer
        self._worker_info = WorkerInfo(**terms["worker_info"])
        self._pumps = [(str(name), int(number)) for name, number, of in terms["pumps"] if of == shard]
        self._lease: float = terms["lease"]
        self._longest: float = terms["longest"]
        self._overdue: float = terms["overdue"]
        redis = connect(terms["url"], shard=shard)
        self._sentinels = sentinels_of(redis)
        self._runner = Multiplexer(
            redis,
            timeout=max(1.0, self._lease / 3),
            patience=0.0,
            on_failover=lambda: self._send(failover=True),
        )
        self._job_leases = JobLeases(self._runner)
        self.returner = ClaimReturner(
            self._worker_info, self._pumps, Retention(*terms["retention"]), self._memory, self._job_leases
        )

    async def run(self) -> None:
        """Beat until the worker has ended; a beat that fails is repeated soon."""
        self._send(lost=[], cancelled=[])  # the first message says that the process is ready
        while not self.ending and os.getppid() == self._worker_info.pid:
            self.due.clear()
            beaten = await self._beat()
            pause = self._lease / 3 if beaten else min(MAX_PAUSE, self._lease / 20)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.due.wait()

    async def _beat(self) -> bool:
        snapshot = self._memory.read()
        if snapshot is None or is_stopped(self._worker_info.pid):
            return False  # a worker that is stopped from outside must lose its leases
        leases, steps = self.to_renew(snapshot)
        try:
            lost, cancelled = await self._job_leases.beat(
                self._worker_info,
                leases,
                running=snapshot.running,
                models=snapshot.models,
                memory=resident_bytes(self._worker_info.pid),
                lease=self._lease,
                overdue=self.overdue(snapshot, leases),
                steps=steps,
            )
        except QueueUnavailable:
            return False  # the worker's own steps log it
        if (lost or cancelled) and not self._writer.transport.get_write_buffer_size():
            self._send(lost=sorted(lost), cancelled=sorted(cancelled))  # else the next beat sends it again
        return True

    @staticmethod
    def overdue(snapshot: Snapshot, renewed: Sequence[Lease]) -> list[Lease]:
        """The leases of a snapshot that are not renewed."""
        kept = set(renewed)
        return [lease for lease, _ in snapshot.leases if lease not in kept]

    async def watch_primary(self) -> None:
        """Leave a former primary as soon as the Sentinels name another one, and beat there."""
        if self._sentinels:
            await self._sentinels.watch(self._leave_primary)

    def _leave_primary(self) -> None:
        self._runner.renew()
        self.due.set()

    def to_renew(self, snapshot: Snapshot) -> tuple[list[Lease], list[tuple[str, int, int]]]:
        """The leases, and the steps under way, whose time is not over.

        An unknown deadline counts as the longest timeout of the handlers after the snapshot: a worker that
        lives writes a snapshot every 0.1 s.
        """
        now = time.monotonic() - self._overdue
        latest = snapshot.written_at + self._longest
        leases = [lease for lease, deadline in snapshot.leases if min(deadline, latest) > now]
        steps = [
            (*pump, step)
            for pump, step in zip(self._pumps, snapshot.steps, strict=True)
            if step and latest > now
        ]
        return leases, steps

    def _send(self, **message: object) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")


def is_stopped(pid: int) -> bool:
    """Tell whether a process was stopped by SIGSTOP or a debugger, or is gone."""
    try:
        if sys.platform == "linux":
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
        else:
            command = ["/bin/ps", "-o", "stat=", "-p", str(pid)]
            state = subprocess.run(command, capture_output=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return True
    return state[:1] in (b"T", b"t", b"Z", b"X", b"")


async def serve(connection: socket.socket, descriptor: int) -> None:
    """Beat until the worker closes the connection, as the system does when it ends."""
    reader, writer = await asyncio.open_connection(sock=connection)
    terms = json.loads(await reader.readline() or "null")
    if terms is None:
        return
    memory = SnapshotMemory(descriptor, terms["leases"])
    loops = [
        HeartbeatLoop(terms, memory, writer, shard)
        for shard in sorted({shard for *_, shard in terms["pumps"]})
    ]
    beating = {asyncio.create_task(beats.run()) for beats in loops}
    returning = {asyncio.create_task(beats.returner.run()) for beats in loops}
    watches = [asyncio.create_task(beats.watch_primary()) for beats in loops]
    end = asyncio.create_task(listen(reader, loops))
    await asyncio.wait({*beating, *returning, end}, return_when=asyncio.FIRST_COMPLETED)
    for task in (*returning, *watches):
        task.cancel()
    for beats in loops:
        beats.ending = True
        beats.due.set()
    # A beat that reached Redis after the worker's `leave` would show a dead worker.
    done, _ = await asyncio.wait(beating, timeout=LAST_BEAT_SECONDS)
    for task in done:
        task.result()
    await asyncio.gather(*(beats.returner.return_of_dead() for beats in loops))


async def listen(reader: asyncio.StreamReader, loops: Sequence[HeartbeatLoop]) -> None:
    """Beat whenever the worker asks for it, until it closes the connection."""
    while await reader.readline():
        for beats in loops:
            beats.due.set()


def main() -> None:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    asyncio.run(serve(connection, int(sys.argv[2])))


if __name__ == "__main__":
    main()
