"""A snapshot is read as it was written, whatever happens to its writer."""

import time
from collections.abc import Iterator
from math import inf

import pytest

from shared.store.rows import Lease
from worker.lease_snapshot import LATEST, TAKEN_BYTES, SnapshotMemory, lease_line


@pytest.fixture
def memory() -> Iterator[SnapshotMemory]:
    memory = SnapshotMemory.create(3)
    yield memory
    memory.close()


def test_a_snapshot_is_read_as_it_was_written(memory: SnapshotMemory) -> None:
    leases = [lease_line("default", "1:a", 12.5), lease_line("other", "3:b", inf)]
    memory.write(2, [0, 7], leases, '[{"type":"a"}]')
    snapshot = SnapshotMemory(memory.descriptor, 3).read()
    assert snapshot
    assert (snapshot.running, snapshot.steps, snapshot.models) == (2, [0, 7], '[{"type":"a"}]')
    assert snapshot.leases == [(Lease("default", "1:a"), 12.5), (Lease("other", "3:b"), inf)]
    assert snapshot.held == []
    assert 0 <= time.monotonic() - snapshot.written_at < 5


def test_there_is_none_before_the_first(memory: SnapshotMemory) -> None:
    assert memory.read() is None


def test_a_snapshot_that_was_not_written_to_its_end_leaves_the_one_before(memory: SnapshotMemory) -> None:
    memory.write(1, [4], [lease_line("default", "1:a", 1.0)])
    whole = memory.read()
    memory.write(2, [5], [])
    LATEST.pack_into(memory._memory, TAKEN_BYTES, 1)  # as if the writer had frozen before the flip
    assert memory.read() == whole


def test_a_snapshot_that_is_torn_is_not_read(memory: SnapshotMemory) -> None:
    memory.write(1, [4], [lease_line("default", "1:a", 1.0)])
    place = memory._memory.find(b"default")
    memory._memory[place : place + 7] = b"another"
    assert memory.read() is None


def test_leases_beyond_the_room_are_left_out_whole(memory: SnapshotMemory) -> None:
    lines = [lease_line("q" * 64, f"{n}:{'x' * 60}", 1e9 + 0.123456789) for n in range(1000)]
    memory.write(1000, [0], lines)
    snapshot = memory.read()
    assert snapshot
    assert 3 <= len(snapshot.leases) < 1000
    assert [lease_line(*lease, deadline) for lease, deadline in snapshot.leases] == lines[
        : len(snapshot.leases)
    ]
