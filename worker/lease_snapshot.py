"""Snapshots of a worker's leases, in memory that the worker shares with its heartbeat process.

A snapshot is text. Its first line holds the number of running jobs and, per pump, the number of the step
that is under way, or 0. Each further line is one lease: queue, `claim:id`, and the deadline by the monotonic
clock in milliseconds if there is one.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from math import inf
from mmap import mmap
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from shared.store.rows import Lease

LATEST = Struct("=Q")  # number of the latest snapshot; its buffer is that number modulo 2
FRONT = Struct("=QdII")  # before each buffer: its number, time of writing, length and checksum of the text
LINE_BYTES = 256  # more than a lease takes: 64 of the queue, 60 of the member, 20 of the deadline
READ_ATTEMPTS = 100


class Snapshot(NamedTuple):
    """Leases that a worker held at one moment.

    Attributes:
        written_at: by the monotonic clock, which all processes share.
        running: the number of running jobs, without webhooks.
        steps: per pump, the number of the step that was under way; 0 without a step.
        leases: each with its deadline in seconds; infinite without a deadline.
    """

    written_at: float
    running: int
    steps: list[int]
    leases: list[tuple[Lease, float]]


class SnapshotMemory:
    """Two buffers, written in turn: a worker that freezes while it writes leaves the older one whole.

    Args:
        descriptor: the memory's file descriptor; both processes have one.
        leases: the number of leases that there is room for.
    """

    def __init__(self, descriptor: int, leases: int) -> None:
        self.descriptor = descriptor
        self._size = FRONT.size + (leases + 1) * LINE_BYTES
        total = LATEST.size + 2 * self._size
        if os.fstat(descriptor).st_size < total:
            os.ftruncate(descriptor, total)  # pages that are never written cost nothing
        self._memory = mmap(descriptor, total)
        self._latest: int = LATEST.unpack_from(self._memory, 0)[0]

    @classmethod
    def create(cls, leases: int) -> "SnapshotMemory":
        if sys.platform == "linux":
            descriptor = os.memfd_create("leases")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        return cls(descriptor, leases)

    def write(self, running: int, steps: Sequence[int], leases: Iterable[str]) -> None:
        text = "\n".join((f"{running} {' '.join(map(str, steps))}", *leases)).encode()
        if len(text) > self._size - FRONT.size:
            text = text[: text.rfind(b"\n", 0, self._size - FRONT.size)]  # whole lines only
        number = self._latest + 1
        at = self._place(number)
        FRONT.pack_into(self._memory, at, number, time.monotonic(), len(text), crc32(text))
        self._memory[at + FRONT.size : at + FRONT.size + len(text)] = text
        LATEST.pack_into(self._memory, 0, number)
        self._latest = number

    def read(self) -> Snapshot | None:
        """The latest snapshot; None before the first one."""
        for _ in range(READ_ATTEMPTS):  # the writer may pass by twice during one attempt
            (latest,) = LATEST.unpack_from(self._memory, 0)
            if latest == 0:
                return None
            at = self._place(latest)
            number, written_at, length, checksum = FRONT.unpack_from(self._memory, at)
            text = self._memory[at + FRONT.size : at + FRONT.size + length]
            if number == latest and crc32(text) == checksum:
                return _parse(written_at, text.decode())
        return None

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)

    def _place(self, number: int) -> int:
        return LATEST.size + number % 2 * self._size


def lease_line(queue: str, lease: str, deadline: float) -> str:
    """The line of one lease; the deadline in seconds."""
    return f"{queue} {lease}" if deadline == inf else f"{queue} {lease} {int(deadline * 1000)}"


def _parse(written_at: float, text: str) -> Snapshot:
    first, *lines = text.split("\n")
    running, *steps = map(int, first.split())
    leases = []
    for line in lines:
        queue, lease, *deadline = line.split()
        leases.append((Lease(queue, lease), int(deadline[0]) / 1000 if deadline else inf))
    return Snapshot(written_at, running, steps, leases)
