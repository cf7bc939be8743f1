"""The heartbeat: the beats of its process on a fake Redis, and the thread that supervises that process."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from shared.store import redis_keys
from shared.store.job_leases import JobLeases
from shared.store.workers import WorkerInfo
from tests.conftest import LogTape
from tests.unit.worker.conftest import LEASE, Bench, WatchedLeases
from tests.unit.worker.pools import lives, until
from worker.heartbeat import process as module
from worker.heartbeat.process import HeartbeatLoop
from worker.heartbeat.supervisor import HeartbeatSupervisor
from worker.lease_snapshot import Snapshot, SnapshotMemory, lease_line

INFO = WorkerInfo("w", "host", os.getppid(), ["default"], slots=2, started_at=1.5)
TERMS = {
    "url": "redis://127.0.0.1:1/0",
    "worker_info": asdict(INFO),
    "pumps": [("w", 1, 0), ("w", 2, 0)],
    "lease": LEASE,
    "longest": 100.0,
    "overdue": 6.0,
    "retention": [60, 60, 60],
}


class FakeWriter:
    """Keeps the messages to the worker; `unread` bytes wait for it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.unread = 0
        self.transport = self

    def write(self, data: bytes) -> None:
        self.messages.append(json.loads(data))

    def get_write_buffer_size(self) -> int:
        return self.unread


@pytest.fixture
def writer() -> FakeWriter:
    return FakeWriter()


@pytest.fixture
async def loop(
    fake_redis: Redis, memory: SnapshotMemory, writer: FakeWriter, monkeypatch: pytest.MonkeyPatch
) -> HeartbeatLoop:
    monkeypatch.setattr(module, "Multiplexer", lambda *_, **__: fake_redis)
    monkeypatch.setattr(module, "connect", lambda url, *, shard: fake_redis)
    return HeartbeatLoop(TERMS, memory, cast(asyncio.StreamWriter, writer))


async def claimed(bench: Bench, *job_ids: str) -> None:
    await bench.submit(*job_ids)
    bench.run(*bench.pumps)
    await until(lambda: bench.started == list(job_ids))


async def lease_ends(redis: Redis, lease: str) -> float:
    """Seconds until a lease runs out."""
    score = await redis.zscore(redis_keys.LEASES + "default", lease)
    assert score is not None
    return float(score) / 1000 - time.time()


async def shorten(redis: Redis, *leases: str) -> None:
    soon = (time.time() + 1) * 1000
    await redis.zadd(redis_keys.LEASES + "default", dict.fromkeys(leases, soon), xx=True)


# -- the process


async def test_a_beat_renews_the_leases_of_the_snapshot_alone(
    bench: Bench, loop: HeartbeatLoop, memory: SnapshotMemory, writer: FakeWriter
):
    await claimed(bench, "a", "b")
    await shorten(bench.redis, "1:a", "1:b")
    memory.write(2, [0, 0], [lease_line("default", "1:a", time.monotonic() + 9)])
    assert await loop._beat()
    assert await lease_ends(bench.redis, "1:a") > LEASE / 2
    assert await lease_ends(bench.redis, "1:b") < 2
    (shown,) = await bench.job_queue.workers()
    assert (shown.worker_id, shown.running, writer.messages) == ("w", 2, [])
    assert shown.memory > 1 << 20


async def test_a_beat_renews_the_claims_of_a_step_under_way(
    bench: Bench, loop: HeartbeatLoop, memory: SnapshotMemory
):
    """The worker may not have read their reply yet."""
    await claimed(bench, "a")
    await bench.redis.hset(redis_keys.WORKER + "w", mapping={"step": 7, "claimed": "default 1:a"})
    await shorten(bench.redis, "1:a")
    memory.write(0, [7, 0], [])
    assert await loop._beat()
    assert await lease_ends(bench.redis, "1:a") > LEASE / 2


async def test_a_beat_sends_lost_leases_and_cancelled_jobs(
    bench: Bench, loop: HeartbeatLoop, memory: SnapshotMemory, writer: FakeWriter
):
    await claimed(bench, "a", "b")
    await bench.job_queue.cancel("a")
    await bench.redis.zrem(redis_keys.LEASES + "default", "1:b")
    deadline = time.monotonic() + 9
    memory.write(2, [0, 0], [lease_line("default", lease, deadline) for lease in ("1:a", "1:b")])
    writer.unread = 1  # the worker reads nothing: the beat after this one sends it again
    await loop._beat()
    assert writer.messages == []
    writer.unread = 0
    await loop._beat()
    assert writer.messages == [{"lost": ["1:b"], "cancelled": ["1:a"]}]


@pytest.mark.parametrize("stopped", [True, False])
async def test_a_stopped_worker_is_not_kept_alive(
    stopped: bool,
    bench: Bench,
    loop: HeartbeatLoop,
    memory: SnapshotMemory,
    monkeypatch: pytest.MonkeyPatch,
):
    await claimed(bench, "a")
    await shorten(bench.redis, "1:a")
    memory.write(1, [0, 0], [lease_line("default", "1:a", time.monotonic() + 9)])
    monkeypatch.setattr(module, "is_stopped", lambda pid: stopped)
    assert await loop._beat() is not stopped
    assert (await lease_ends(bench.redis, "1:a") < 2) == stopped
    assert (await bench.job_queue.workers() == []) == stopped


async def test_a_beat_without_a_snapshot_does_nothing(bench: Bench, loop: HeartbeatLoop):
    assert not await loop._beat()
    assert await bench.job_queue.workers() == []


async def test_a_beat_that_fails_is_repeated_soon(
    fake_redis: Redis, loop: HeartbeatLoop, memory: SnapshotMemory, writer: FakeWriter
):
    """Long before a third of the lease."""
    leases = WatchedLeases(fake_redis)
    leases.away = True
    loop._job_leases = cast(JobLeases, leases)
    memory.write(0, [0, 0], [])
    beating = asyncio.ensure_future(loop.run())
    await until(lambda: leases.refused >= 2, seconds=LEASE / 6)
    leases.away = False
    await until(lambda: leases.beats, seconds=LEASE / 6)
    loop.ending = True
    loop.due.set()
    await beating
    assert writer.messages == [{"lost": [], "cancelled": []}]  # the process is ready


@pytest.mark.parametrize(
    ("age", "deadline", "renewed"),
    [
        (0.0, 1.0, True),
        (0.0, -5.5, True),  # the handler may still be ending
        (0.0, -6.5, False),
        (0.0, float("inf"), True),
        (105.5, float("inf"), True),
        (106.5, float("inf"), False),  # 100 s, the longest timeout, and 6 s after the last snapshot
        (106.5, 1.0, False),
    ],
)
def test_a_lease_is_renewed_until_its_deadline_is_overdue(
    age: float, deadline: float, renewed: bool, loop: HeartbeatLoop
):
    now = time.monotonic()
    lease = module.Lease("default", "1:a")
    snapshot = Snapshot(now - age, 1, [3, 0], [(lease, now + deadline)])
    leases, steps = loop.to_renew(snapshot)
    assert leases == ([lease] if renewed else [])
    assert steps == ([("w", 1, 3)] if age < 106 else [])


# -- the thread

MESSAGES = """
import socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
terms = connection.makefile().readline()
connection.sendall({messages!r})
connection.recv(1)
"""


class ScriptedSupervisor(HeartbeatSupervisor):
    """Its process sends these messages, then waits for the end of the connection."""

    messages = b""

    def _start(self, descriptor: int) -> "subprocess.Popen[bytes]":
        script = MESSAGES.format(messages=self.messages)
        return subprocess.Popen([sys.executable, "-c", script, str(descriptor)], pass_fds=[descriptor])


Supervise = Callable[[bytes], ScriptedSupervisor]


@pytest.fixture
def failovers() -> list[bool]:
    return []


@pytest.fixture
async def supervise(bench: Bench, failovers: list[bool]) -> AsyncIterator[Supervise]:
    opened: list[ScriptedSupervisor] = []

    def supervise(messages: bytes) -> ScriptedSupervisor:
        supervisor = ScriptedSupervisor(
            "redis://:hunter2@127.0.0.1:1/0",
            INFO,
            [[bench.lane]],
            lease=LEASE,
            longest=100,
            on_failover=lambda: failovers.append(True),
        )
        supervisor.messages = messages
        opened.append(supervisor)
        return supervisor

    yield supervise
    for supervisor in opened:
        supervisor.stop()
    await until(lambda: not any(lives(supervisor.pid) for supervisor in opened))


async def test_lost_leases_and_cancelled_jobs_stop_their_attempts(bench: Bench, supervise: Supervise):
    await claimed(bench, "a", "b")
    await supervise(b'{"lost": ["1:a"], "cancelled": ["1:b"]}\n').start()
    await until(lambda: not bench.jobs.running)
    await until(lambda: not bench.jobs.unwritten)
    assert (await bench.state("a"), await bench.state("b")) == ("running", "cancelled")


async def test_a_failover_is_passed_on(supervise: Supervise, failovers: list[bool]):
    await supervise(b'{"failover": true}\n').start()
    await until(lambda: failovers)


async def test_a_process_that_dies_is_started_again(supervise: Supervise, log_tape: LogTape):
    supervisor = supervise(b'{"lost": [], "cancelled": []}\n')
    await supervisor.start()
    first = supervisor.pid
    os.kill(first, 9)
    await until(lambda: supervisor.pid != first)
    (line,) = log_tape.lines("the heartbeat process ended; it is started again")
    assert line["code"] == -9


async def test_a_process_that_is_stopped_ends_and_is_not_started_again(
    supervise: Supervise, log_tape: LogTape
):
    supervisor = supervise(b'{"lost": [], "cancelled": []}\n')
    await supervisor.start()
    supervisor.stop()
    await until(lambda: not lives(supervisor.pid))
    assert not supervisor._thread.is_alive()
    assert log_tape.lines("the heartbeat process ended; it is started again") == []


async def test_the_snapshot_has_the_running_attempts_and_the_step_under_way(
    bench: Bench, supervise: Supervise
):
    await claimed(bench, "a")
    await until(lambda: not bench.lane.stepping)
    supervisor = supervise(b'{"lost": [], "cancelled": []}\n')
    await supervisor.start()
    snapshot = supervisor._memory.read()
    assert snapshot is not None
    assert (snapshot.running, snapshot.steps) == (1, [0, 0])
    assert [lease.lease for lease, _ in snapshot.leases] == ["1:a"]
