"""HeartbeatSupervisor: the worker's thread that starts the heartbeat process and takes its messages."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from threading import Event, Thread

from shared.logging import get_log
from shared.store.workers import WorkerInfo
from worker.claims_ahead import MOST_CLAIMS
from worker.heartbeat.loop_watch import WATCH_SECONDS, LoopWatch
from worker.lane import LARGEST_BATCH, Lane
from worker.lease_snapshot import SnapshotMemory
from worker.processes.child_counts import ChildCounts
from worker.processes.environment import child_environment
from worker.timeouts import OVERDUE_SECONDS

START_SECONDS = 5.0
END_SECONDS = 0.3
RESTART_SECONDS = 0.1

log = get_log(__name__)


class HeartbeatSupervisor:
    """Supervises a heartbeat process, and writes the snapshots that the process reads.

    A thread starts the process, starts it again should it die, and stops the attempts whose leases are lost
    or whose jobs are cancelled.

    Attributes:
        pid: the process that was started last; 0 before the first.
        counts: the process, and the ends of those before it.

    Args:
        url: the URL of Redis; sent over a socket, because others can read a command line.
        worker_info: the worker as API and operators see it.
        shards: for each shard the lanes whose leases are renewed; the first one is that of the jobs.
        lease: seconds for which a renewal holds.
        longest: the longest timeout of the handlers, in seconds.
        on_failover: called in the heartbeat's thread, when a beat has met a fail-over; a beat always writes,
            so the heartbeat notices a fail-over even while the worker is idle.
    """

    def __init__(
        self,
        url: str,
        worker_info: WorkerInfo,
        shards: Sequence[Sequence[Lane]],
        *,
        lease: float,
        longest: float,
        on_failover: Callable[[], None],
    ) -> None:
        self.pid = 0
        self.counts = ChildCounts()
        self._on_failover = on_failover
        self._lanes = lanes = [lane for some in shards for lane in some]
        self._folder = Path.cwd()  # a handler may change it
        self._pumps = [pump for lane in lanes for pump in lane.pumps]
        most = sum(lane.jobs.most + MOST_CLAIMS for lane in lanes)
        room = 2 * most + LARGEST_BATCH * len(self._pumps)  # running and ended attempts, and held claims
        self._memory = SnapshotMemory.create(room)
        for lane in lanes:
            lane.jobs.held.taken = self._memory.taken
        terms = {
            "url": url,
            "worker_info": asdict(worker_info),
            "pumps": [
                (pump.worker_id, pump.number, shard)
                for shard, some in enumerate(shards)
                for lane in some
                for pump in lane.pumps
            ],
            "lease": lease,
            "longest": longest,
            "overdue": OVERDUE_SECONDS,
            "leases": room,
            "retention": lanes[0].retention,
        }
        self._terms = json.dumps(terms).encode() + b"\n"
        self._watch = LoopWatch([lane.jobs for lane in lanes])
        self._loop = asyncio.get_event_loop()
        self._ready = asyncio.Event()
        self._stopping = Event()
        self._connection: socket.socket | None = None
        self._models = ""
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    async def start(self) -> None:
        """Start the process; returns when it is ready to beat, or soon after."""
        self.publish()
        self._thread.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._ready.wait()

    def publish(self) -> None:
        """Write a snapshot; called on the event loop."""
        lanes = self._lanes
        leases = chain.from_iterable(lane.jobs.lease_lines.values() for lane in lanes)
        steps = [pump.open_step for pump in self._pumps]
        self._memory.write(lanes[0].jobs.occupied, steps, leases, self._models)

    def show_models(self, states: str) -> None:
        """Show the states of the model hosts, JSON, at once; called on the event loop."""
        self._models = states
        self.publish()
        if self._connection is not None:
            with suppress(OSError):
                self._connection.sendall(b"beat\n")

    def stop(self) -> None:
        """End the process; returns when it has ended, or soon after."""
        self._stopping.set()
        self._hang_up()
        self._thread.join(timeout=END_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._supervise()
            except OSError as error:
                log.error("the heartbeat process does not start", reason=str(error))
            self._stopping.wait(RESTART_SECONDS)

    def _supervise(self) -> None:
        """Start the process, and take its messages until it ends."""
        ours, theirs = socket.socketpair()
        self._connection = ours
        with ours:
            with theirs:
                process = self._start(theirs.fileno())
            self.pid = process.pid
            self.counts.alive += 1
            try:
                ours.sendall(self._terms)
                self._listen(ours)
            except OSError:
                pass  # the process has died
            finally:
                code = _end(process)
                self.counts.note_end(by_worker=self._stopping.is_set())
        if not self._stopping.is_set():
            log.error("the heartbeat process ended; it is started again", code=code)

    def _start(self, descriptor: int) -> "subprocess.Popen[bytes]":
        numbers = (descriptor, self._memory.descriptor)
        command = [sys.executable, "-m", "worker.heartbeat.process", *map(str, numbers)]
        return subprocess.Popen(  # noqa: S603
            command,
            pass_fds=numbers,
            stdin=subprocess.DEVNULL,
            cwd=self._folder,
            env=child_environment(),  # all else that the process needs is in the terms
        )

    def _listen(self, connection: socket.socket) -> None:
        connection.settimeout(WATCH_SECONDS)
        unread = b""
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                if not (data := connection.recv(1 << 16)):
                    return
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    self._take(**json.loads(line))
            self._watch.look()

    def _take(self, lost: Sequence[str] = (), cancelled: Sequence[str] = (), failover: bool = False) -> None:
        self._loop.call_soon_threadsafe(self._ready.set)
        if failover:
            self._on_failover()
        for lane in self._lanes:
            lane.jobs.stop_soon(set(lost), set(cancelled))

    def _hang_up(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)


def _end(process: "subprocess.Popen[bytes]") -> int:
    """The exit code of a process whose connection is closed."""
    try:
        return process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
