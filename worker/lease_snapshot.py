"""Snapshots of a worker's leases, in memory that the worker shares with its heartbeat process.

A snapshot is text. Its first line holds the number of running jobs and, per pump, the number of the step
that is under way, or 0. The second line has the states of the model hosts, JSON. Each further line is one
lease: queue, `claim:id`, and the deadline by the monotonic clock in milliseconds if there is one, or `h` and
the number of a held claim. Held claims start in the order of their numbers; the memory also has the number of
the one that was started last, written at each start.
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

from shared.ids import shard_of
from shared.store.rows import Lease

TAKEN_BYTES = 8  # the largest number of a held claim that was started
LATEST = Struct("=Q")  # number of the latest snapshot; its buffer is that number modulo 2
FRONT = Struct("=QdII")  # before each buffer: its number, time of writing, length and checksum of the text
MODELS_BYTES = 1 << 16  # of the states of the model hosts
LINE_BYTES = 256  # more than a lease takes: 64 of the queue, 60 of the member, 20 of the deadline
READ_ATTEMPTS = 100


class Snapshot(NamedTuple):
    """Leases that a worker held at one moment.

    Attributes:
        written_at: by the monotonic clock, which all processes share.
        running: the number of running jobs, without webhooks.
        steps: per pump, the number of the step that was under way; 0 without a step.
        leases: each with its deadline in seconds; infinite without a deadline.
        held: those of them whose handlers had not begun when the snapshot was read.
        models: the states of the model hosts, JSON; empty without any.
    """

    written_at: float
    running: int
    steps: list[int]
    leases: list[tuple[Lease, float]]
    held: Sequence[Lease] = ()
    models: str = ""


class ShardSnapshots:
    """The snapshots of a memory, as far as they concern one shard.

    Args:
        memory: the memory.
        shard: the shard of the leases.
        shards: the number of shards.
        places: those of the shard's pumps among the steps of a snapshot.
    """

    def __init__(self, memory: "SnapshotMemory", shard: int, shards: int, places: Sequence[int]) -> None:
        self._memory = memory
        self._shard = shard
        self._shards = shards
        self._places = places

    def read(self) -> Snapshot | None:
        found = self._memory.read()
        if found is None or self._shards == 1:
            return found
        return found._replace(
            steps=[found.steps[place] for place in self._places],
            leases=[(lease, deadline) for lease, deadline in found.leases if self._has(lease)],
            held=[lease for lease in found.held if self._has(lease)],
        )

    def _has(self, lease: Lease) -> bool:
        return shard_of(lease.lease, self._shards) == self._shard


class SnapshotMemory:
    """Two buffers, written in turn: a worker that freezes while it writes leaves the older one whole.

    Args:
        descriptor: the memory's file descriptor; both processes have one.
        leases: the number of leases that there is room for.

    Attributes:
        taken: its one item is the largest number of a held claim that was started.
    """

    def __init__(self, descriptor: int, leases: int) -> None:
        self.descriptor = descriptor
        self._size = FRONT.size + (leases + 1) * LINE_BYTES + MODELS_BYTES
        total = TAKEN_BYTES + LATEST.size + 2 * self._size
        if os.fstat(descriptor).st_size < total:
            os.ftruncate(descriptor, total)  # pages that are never written cost nothing
        self._memory = mmap(descriptor, total)
        self.taken = memoryview(self._memory)[:TAKEN_BYTES].cast("Q")
        self._latest: int = LATEST.unpack_from(self._memory, TAKEN_BYTES)[0]

    @classmethod
    def create(cls, leases: int) -> "SnapshotMemory":
        if sys.platform == "linux":
            descriptor = os.memfd_create("leases")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        return cls(descriptor, leases)

    def write(self, running: int, steps: Sequence[int], leases: Iterable[str], models: str = "") -> None:
        text = "\n".join((f"{running} {' '.join(map(str, steps))}", models, *leases)).encode()
        if len(text) > self._size - FRONT.size:
            text = text[: text.rfind(b"\n", 0, self._size - FRONT.size)]  # whole lines only
        number = self._latest + 1
        at = self._place(number)
        FRONT.pack_into(self._memory, at, number, time.monotonic(), len(text), crc32(text))
        self._memory[at + FRONT.size : at + FRONT.size + len(text)] = text
        LATEST.pack_into(self._memory, TAKEN_BYTES, number)
        self._latest = number

    def read(self) -> Snapshot | None:
        """The latest snapshot; None before the first one."""
        for _ in range(READ_ATTEMPTS):  # the writer may pass by twice during one attempt
            (latest,) = LATEST.unpack_from(self._memory, TAKEN_BYTES)
            if latest == 0:
                return None
            at = self._place(latest)
            number, written_at, length, checksum = FRONT.unpack_from(self._memory, at)
            text = self._memory[at + FRONT.size : at + FRONT.size + length]
            if number == latest and crc32(text) == checksum:
                return _parse(written_at, text.decode(), self.taken[0])
        return None

    def close(self) -> None:
        self.taken.release()
        self._memory.close()
        os.close(self.descriptor)

    def _place(self, number: int) -> int:
        return TAKEN_BYTES + LATEST.size + number % 2 * self._size


def lease_line(queue: str, lease: str, deadline: float) -> str:
    """The line of one lease; the deadline in seconds."""
    return f"{queue} {lease}" if deadline == inf else f"{queue} {lease} {int(deadline * 1000)}"


def held_line(queue: str, lease: str, number: int) -> str:
    """The line of a held claim."""
    return f"{queue} {lease} h{number}"


def _parse(written_at: float, text: str, taken: int) -> Snapshot:
    first, models, *lines = text.split("\n")
    running, *steps = map(int, first.split())
    leases, held = [], []
    for line in lines:
        queue, lease, *more = line.split()
        timed = more and not more[0].startswith("h")
        leases.append((Lease(queue, lease), int(more[0]) / 1000 if timed else inf))
        if more and not timed and int(more[0][1:]) > taken:
            held.append(Lease(queue, lease))
    return Snapshot(written_at, running, steps, leases, held, models)
