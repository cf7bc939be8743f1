"""The heartbeat process: renews the leases in its worker's snapshot, and ends with the worker."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from dev.stack import PATIENCE, Stack
from shared.store import redis_keys
from shared.store.job_leases import Claim, Finished, Outcome, OutcomeKind
from shared.store.job_queue import JobQueue
from tests.conftest import LogTape
from tests.integration.conftest import ManualWorker, Submit
from tests.new_jobs import RETENTION
from tests.unit.worker.pools import lives, until
from worker.context import JobContext
from worker.heartbeat.supervisor import HeartbeatSupervisor
from worker.lease_snapshot import lease_line
from worker.running_job import RunningJob
from worker.running_jobs import RunningJobs

LEASE = 1.0
LONGEST = 3600.0
Beating = Callable[..., Awaitable[HeartbeatSupervisor]]


class ManualLane(SimpleNamespace):
    """A lane, as far as the heartbeat needs one."""

    jobs: RunningJobs
    pumps: list[SimpleNamespace]

    def run(self, claim: Claim, *, deadline: float = float("inf")) -> None:
        job = RunningJob(claim, JobContext.of(claim, lambda: None), time.monotonic())
        self.jobs.lease_lines[claim.lease] = lease_line(claim.queue, claim.lease, deadline)
        self.jobs.running[claim.lease] = job


@pytest.fixture
def server(redis: Redis) -> Redis:
    """The real Redis: a process can't reach the fake one."""
    return redis


@pytest.fixture
async def lane(worker: ManualWorker) -> ManualLane:
    jobs = RunningJobs(10, {}, max_result_bytes=1, on_report=lambda: None)
    pumps = [SimpleNamespace(worker_id=worker.name, number=1, open_step=0)]
    return ManualLane(jobs=jobs, pumps=pumps, retention=RETENTION)


@pytest.fixture
async def beating(redis_stack: Stack, worker: ManualWorker, lane: ManualLane) -> AsyncIterator[Beating]:
    started = []

    async def start(*, longest: float = LONGEST) -> HeartbeatSupervisor:
        lanes: Any = [[lane]]
        worker_info = replace(worker.info, pid=os.getpid())
        started.append(
            HeartbeatSupervisor(
                redis_stack.redis_url,
                worker_info,
                lanes,
                lease=LEASE,
                longest=longest,
                on_failover=lambda: None,
            )
        )
        await started[-1].start()
        return started[-1]

    yield start
    for heartbeat in started:
        heartbeat.stop()


async def ends(server: Redis, claim: Claim) -> float:
    """End of the lease in seconds since the epoch; 0 if there is no lease."""
    return float(await server.zscore(redis_keys.LEASES + claim.queue, claim.lease) or 0) / 1000


async def is_renewed(server: Redis, claim: Claim) -> bool:
    """Whether the heartbeat has shortened the lease of a claim, which `ManualWorker` takes for 60 s."""
    return await ends(server, claim) < time.time() + 2 * LEASE


async def shows(job_queue: JobQueue, worker: ManualWorker) -> bool:
    return any(shown.worker_id == worker.name for shown in await job_queue.workers())


async def until_beaten(job_queue: JobQueue, worker: ManualWorker) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await shows(job_queue, worker):
            pass


async def test_leases_of_running_jobs_and_of_unwritten_outcomes_are_renewed(
    submit: Submit, worker: ManualWorker, lane: ManualLane, beating: Beating, job_queue: JobQueue
) -> None:
    for name in "abcd":
        await submit(name)
    runs, ended, overdue, unknown = await worker.claim(slots=4)
    lane.run(runs, deadline=time.monotonic() - 1)
    lane.run(ended, deadline=time.monotonic() - 7)
    lane.jobs.running.pop(ended.lease)
    lane.jobs.finished.append(Finished(ended, Outcome(OutcomeKind.COMPLETED, b"1")))
    lane.jobs.tick()
    lane.run(overdue, deadline=time.monotonic() - 7)
    lane.run(unknown)
    await beating()
    await until_beaten(job_queue, worker)
    renewed = [await is_renewed(worker.redis, claim) for claim in (runs, ended, overdue, unknown)]
    assert renewed == [True, True, False, True]


async def test_claims_of_a_step_whose_reply_was_not_read_are_renewed(
    submit: Submit, worker: ManualWorker, lane: ManualLane, beating: Beating, job_queue: JobQueue
) -> None:
    await submit("a")
    claim = await worker.claim_one()
    lane.pumps[0].open_step = worker.steps
    await beating()
    await until_beaten(job_queue, worker)
    assert await is_renewed(worker.redis, claim)


async def test_a_deadline_that_is_not_known_is_bounded(
    submit: Submit, worker: ManualWorker, lane: ManualLane, beating: Beating, job_queue: JobQueue
) -> None:
    """By the longest timeout after the last snapshot, of a worker that writes no further snapshot."""
    for name in "ab":
        await submit(name)
    unknown = await worker.claim_one()
    unread = await worker.claim_one()
    lane.run(unknown)
    lane.pumps[0].open_step = worker.steps
    await beating(longest=-7)  # as if the snapshot were 7 s older than the longest timeout
    await until_beaten(job_queue, worker)
    assert [await is_renewed(worker.redis, claim) for claim in (unknown, unread)] == [False, False]


async def test_a_heartbeat_process_that_dies_is_started_again(
    worker: ManualWorker, beating: Beating, job_queue: JobQueue, log_tape: LogTape
) -> None:
    heartbeat = await beating()
    await until_beaten(job_queue, worker)
    first = heartbeat.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(first, number)
    await worker.redis.delete(redis_keys.WORKER + worker.name)
    await until_beaten(job_queue, worker)
    restarts = "the heartbeat process ended; it is started again"
    assert (heartbeat.pid, log_tape.lines(restarts)) == (first, [])

    os.kill(first, signal.SIGKILL)
    await until(lambda: heartbeat.pid != first)
    await worker.redis.delete(redis_keys.WORKER + worker.name)
    await until_beaten(job_queue, worker)
    assert log_tape.lines(restarts)


async def test_a_heartbeat_that_is_stopped_beats_no_more(
    worker: ManualWorker, beating: Beating, job_queue: JobQueue
) -> None:
    heartbeat = await beating()
    await until_beaten(job_queue, worker)
    heartbeat.stop()
    await until(lambda: not lives(heartbeat.pid))


async def test_held_claims_of_a_worker_that_is_blocked_go_back_to_the_queue(
    submit: Submit, worker: ManualWorker, lane: ManualLane, beating: Beating, job_queue: JobQueue
) -> None:
    """The worker of this test writes no second snapshot, as one whose event loop is blocked."""
    for name in "abc":
        await submit(name)
    runs, *held = await worker.claim(slots=3)
    lane.run(runs)
    lane.jobs.size = 1
    lane.jobs.take(held, 0)
    await beating()
    queue = redis_keys.QUEUE + "default"
    async with asyncio.timeout(PATIENCE):
        while await worker.redis.zcard(queue) < 2:
            pass
    records = [(await job_queue.get(name)).parse() for name in "abc"]
    assert [(record.state, record.attempt) for record in records] == [
        ("running", 1),
        ("pending", 0),
        ("pending", 0),
    ]
