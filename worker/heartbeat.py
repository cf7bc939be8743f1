"""The heartbeat: a process that renews leases, and the thread of the worker that keeps it running."""

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
from shared.store.worker_info import WorkerInfo
from worker.lane import LARGEST_BATCH, Lane
from worker.loop_watch import WATCH_SECONDS, LoopWatch
from worker.processes.environment import child_environment
from worker.snapshot import SnapshotMemory

START_SECONDS = 5.0
END_SECONDS = 0.3
RESTART_SECONDS = 0.1

log = get_log(__name__)


class Heartbeat:
    """Keeps a heartbeat process, and writes the snapshots that it reads.

    Its thread starts the process, starts it again should it die, and hands what it hears to the slots.

    Attributes:
        pid: of the process that was started last; 0 before the first.

    Args:
        url: of Redis; it goes to the process over a socket, because others can read a command line.
        worker_info: the worker as others see it.
        lanes: whose leases are renewed; the first one is of jobs.
        lease: seconds for which a renewal holds.
        longest: the longest timeout of the handlers, in seconds.
        on_failover: called in the heartbeat's thread, when a beat has met a fail-over; a beat always writes,
            so the heartbeat notices one even while the worker is idle.
    """

    def __init__(
        self,
        url: str,
        worker_info: WorkerInfo,
        lanes: Sequence[Lane],
        *,
        lease: float,
        longest: float,
        on_failover: Callable[[], None],
    ) -> None:
        self.pid = 0
        self._on_failover = on_failover
        self._lanes = lanes
        self._folder = Path.cwd()  # a handler may change it
        room = sum(2 * lane.slots.most + 2 * LARGEST_BATCH for lane in lanes)  # running and ended attempts
        self._memory = SnapshotMemory.create(room)
        terms = {
            "url": url,
            "worker_info": asdict(worker_info),
            "lanes": [lane.worker_id for lane in lanes],
            "lease": lease,
            "longest": longest,
            "leases": room,
        }
        self._terms = json.dumps(terms).encode() + b"\n"
        self._watch = LoopWatch([lane.slots for lane in lanes])
        self._loop = asyncio.get_event_loop()
        self._ready = asyncio.Event()
        self._stopping = Event()
        self._connection: socket.socket | None = None
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    async def start(self) -> None:
        """Start the process; returns when it is ready to beat, or soon after."""
        self.publish()
        self._thread.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._ready.wait()

    def publish(self) -> None:
        """Write a snapshot; on the event loop."""
        lanes = self._lanes
        leases = chain.from_iterable(lane.slots.lease_lines.values() for lane in lanes)
        self._memory.write(len(lanes[0].slots.running), [lane.open_step for lane in lanes], leases)

    def stop(self) -> None:
        """End the process; returns when it has ended, or soon after."""
        self._stopping.set()
        self._hang_up()
        self._thread.join(timeout=END_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._keep()
            except OSError as error:
                log.error("the heartbeat process does not start", reason=str(error))
            self._stopping.wait(RESTART_SECONDS)

    def _keep(self) -> None:
        """Start the process, and listen to it until it ends."""
        ours, theirs = socket.socketpair()
        self._connection = ours
        with ours:
            with theirs:
                process = self._start(theirs.fileno())
            self.pid = process.pid
            try:
                ours.sendall(self._terms)
                self._listen(ours)
            except OSError:
                pass  # it has died
            finally:
                code = _end(process)
        if not self._stopping.is_set():
            log.error("the heartbeat process ended; it is started again", code=code)

    def _start(self, descriptor: int) -> "subprocess.Popen[bytes]":
        numbers = (descriptor, self._memory.descriptor)
        command = [sys.executable, "-m", "worker.heartbeat_process", *map(str, numbers)]
        return subprocess.Popen(  # noqa: S603
            command,
            pass_fds=numbers,
            stdin=subprocess.DEVNULL,
            cwd=self._folder,
            env=child_environment(),  # all else that it needs is in the terms
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
                    self._hear(**json.loads(line))
            self._watch.look()

    def _hear(self, lost: Sequence[str] = (), cancelled: Sequence[str] = (), failover: bool = False) -> None:
        self._loop.call_soon_threadsafe(self._ready.set)
        if failover:
            self._on_failover()
        for lane in self._lanes:
            lane.slots.heard(set(lost), set(cancelled))

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
