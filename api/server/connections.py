"""ConnectionLimits of connections: their number, and the time of slow clients, by one sweep a second.

No request has a timer of its own. The connections themselves are in `api/server/protocols.py`.
"""

import asyncio
import resource
import time
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from shared.logging import get_log

MAX_CONNECTIONS = 16_384  # connections that the default allows where descriptors abound
MIN_SPARE = 64  # descriptors that are left for Redis, files and the log
SWEPT_AT_ONCE = 500
STEP = 16_384  # bytes that a parser gets at once

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of the connections of one API process.

    Attributes:
        most: connections at once.
        head_bytes: size of a request line and its headers, and of the bytes between pieces of a body.
        head_seconds: time for a head, and for the first byte of a new connection.
        body_seconds: time for a body that brings no file.
        stalled_seconds: time without progress after which a client that reads its answer is given up.
        linger_seconds: time that a refused client has to read the refusal.
        pipelined: requests that may wait for the answers to earlier ones of their connection.
        sweep_seconds: time between two sweeps.
    """

    most: int = MAX_CONNECTIONS
    head_bytes: int = 65_536
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    stalled_seconds: float = 30.0
    linger_seconds: float = 2.0
    pipelined: int = 100
    sweep_seconds: float = 1.0


class Wait(Enum):
    """The part of an exchange that the server waits for."""

    FIRST_BYTE = "first byte"
    HEAD = "head"
    BODY = "body"
    READING = "reading"
    LEAVING = "leaving"


class Connection(Protocol):
    """A connection as the sweep sees it.

    Attributes:
        last_wait: the wait at the last sweep.
        waits_since: the time of the first sweep with this wait.
    """

    last_wait: tuple[Wait, object] | None
    waits_since: float

    def wait(self) -> tuple[Wait, object] | None:
        """The part that the server waits for now, with a mark that changes at any progress; None for none."""

    def end(self, wait: Wait) -> None:
        """End the connection of a client that has let the server wait for too long."""

    def turn_away(self) -> None:
        """Refuse the connection for lack of room, and close it at once: it must hold no descriptor."""


class Connections:
    """All connections of the process: admitted up to a bound, and ended if the client is too slow."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.usual_bytes = min(STEP, limits.head_bytes)  # reads up to this size need no further check
        self.new: dict[Connection, None] = {}  # without a whole head so far, the oldest first
        self._open: set[Connection] = set()
        self._full = False
        self._refused = 0
        self._seconds = {
            Wait.FIRST_BYTE: limits.head_seconds,
            Wait.HEAD: limits.head_seconds,
            Wait.BODY: limits.body_seconds,
            Wait.READING: limits.stalled_seconds,
            Wait.LEAVING: limits.linger_seconds,
        }

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Add a connection, unless the bound is reached.

        At the bound the new one takes the place of the oldest one without a whole head so far. So clients who
        open connections and stay silent can't keep everybody else out.
        """
        if len(self._open) >= self.limits.most:
            self._report_full()
            self._refused += 1
            oldest = next(iter(self.new), None)
            if oldest is None:
                return False
            self.leave(oldest)
            oldest.turn_away()
        self._open.add(connection)
        self.new[connection] = None
        return True

    def leave(self, connection: Connection) -> None:
        """Remove a connection."""
        self._open.discard(connection)
        self.new.pop(connection, None)

    async def keep_sweeping(self) -> None:
        """Sweep all connections again and again, and end those whose client is too slow."""
        while True:
            await asyncio.sleep(self.limits.sweep_seconds)
            for n, connection in enumerate(list(self._open)):
                ended = self._judge(connection, time.monotonic())
                if ended or n % SWEPT_AT_ONCE == SWEPT_AT_ONCE - 1:
                    await asyncio.sleep(0)  # a sweep of thousands must not block the loop
            self._report_room()

    def _judge(self, connection: Connection, now: float) -> bool:
        """End the connection if its wait has lasted too long; returns whether it did."""
        wait = connection.wait()
        if wait != connection.last_wait:
            connection.last_wait, connection.waits_since = wait, now
        elif wait is not None and now - connection.waits_since >= self._seconds[wait[0]]:
            connection.end(wait[0])
            return True
        return False

    def _report_full(self) -> None:
        if not self._full:
            self._full = True
            log.warning(
                "all connections are taken",
                most=self.limits.most,
                hint="Raise API_MAX_CONNECTIONS or the limit of open files (ulimit -n), or run more APIs.",
            )

    def _report_room(self) -> None:
        if self._full and len(self._open) < 0.9 * self.limits.most:
            log.warning("connections are free again", refused=self._refused)
            self._full, self._refused = False, 0


def limits_of_process(most: int = 0) -> ConnectionLimits:
    """The limits, with the given number of connections, or the number that descriptors allow.

    A quarter of the descriptors is left for Redis, files and connections that are about to be refused: a
    server without a free descriptor can't even refuse. The soft limit, often 1,024, is raised as far as the
    system lets this process do it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = (most or MAX_CONNECTIONS) * 4 // 3 + MIN_SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = most or MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else soft - max(MIN_SPARE, soft // 4)
    if most > room:
        log.warning(
            "API_MAX_CONNECTIONS is more than this process may open",
            most=room,
            hint="Raise the limit of open files: ulimit -n, LimitNOFILE, or ulimits in compose.",
        )
    return ConnectionLimits(most=max(1, min(most or MAX_CONNECTIONS, room)))
