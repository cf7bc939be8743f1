"""Commands of scripts that fail, each in turn: no job is lost, half accepted or charged.

Redis rolls nothing back, so what a script has written before the command that fails stays. A script is run
with a `redis.call` of its own, whose n-th call fails as Redis' would, once; then its caller goes on.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from chaos.failing_script import FAILED
from shared.errors import JobServerError, QueueUnavailable
from shared.file_writing import Stored
from shared.record import JobState
from shared.store import redis_keys, scripts
from shared.store.file_records import FileQuota, FileRecords
from shared.store.job_leases import AttemptReport, Claim, Finished, JobLeases, Outcome, OutcomeKind, Step
from shared.store.job_queue import JobQueue
from shared.store.rows import SubmissionRow
from shared.store.scripts import Script
from shared.store.submission import JobQuota
from shared.store.upkeep import Upkeep
from shared.store.workers import WorkerInfo
from tests.integration.failing_runner import FailingRunner
from tests.new_jobs import RETENTION, new_job

WORKER_INFO = WorkerInfo("w", "host", 1, ("default",), slots=10, started_at=1.5)
QUOTA = JobQuota("me", waiting=1000, kept_bytes=10**6)
ERROR = b'{"code":"e","message":"m","hint":"h","retryable":true,"attempt":1}'


@dataclass
class World:
    """A store whose scripts can be made to fail, a worker, and the accepted jobs."""

    redis: Redis
    runner: FailingRunner
    job_queue: JobQueue
    job_leases: JobLeases
    upkeep: Upkeep
    steps: int = 0
    job_ids: list[str] = field(default_factory=list)

    async def submit(self, *job_ids: str, **options: Any) -> None:
        jobs = [new_job(job_id, webhook="http://x", **options) for job_id in job_ids]
        await self.job_queue.submit_all(jobs, QUOTA)
        self.job_ids += job_ids

    async def step(self, *finished: Finished, slots: int = 0) -> Step:
        """Make a step, repeated with its number until it succeeds, as a worker does."""
        self.steps += 1
        while True:
            try:
                return await self.job_leases.step(
                    "w", self.steps, ["default"], finished, slots=slots, lease=60, retention=RETENTION
                )
            except QueueUnavailable:
                assert self.runner.failing is None

    async def claim(self, slots: int = 10) -> list[Claim]:
        return (await self.step(slots=slots)).claims

    async def record(self, job_id: str) -> dict[bytes, bytes]:
        fields: dict[bytes, bytes] = await self.redis.hgetall(redis_keys.RECORD + job_id)
        return fields

    async def look_again(self) -> None:
        """Make the next repair due now."""
        await self.redis.hdel(redis_keys.UPKEEP, "repaired_at")
        await self.upkeep.run(["default", redis_keys.WEBHOOKS])


@pytest.fixture
async def world(redis: Redis) -> World:
    runner = FailingRunner(redis)
    queue = JobQueue(runner, RETENTION, max_waiting=1000)
    return World(redis, runner, queue, JobLeases(runner), Upkeep(runner, RETENTION))


Act = Callable[[World], Awaitable[None]]


async def prepare_file(world: World) -> None:
    await world.redis.hset(redis_keys.FILE + "f", "size", 1)


async def submit_again(world: World) -> None:
    """Repeat a request that was answered 503, as another job."""
    options: dict[str, Any] = {"start_within_seconds": 60, "delay_seconds": 0.001, "files": ["f"]}
    try:
        await world.submit("a", "b", **options)
        await world.submit("c", idempotency_key="k", **options)
    except QueueUnavailable:
        for job_id in {"a", "b", "c"} - set(world.job_ids):
            left = [key.decode() async for key in world.redis.scan_iter(match=f"*:{job_id}")]
            assert left == []
            assert not await world.redis.sismember(redis_keys.FILE + "f:jobs", job_id)
            assert not await world.redis.hexists(redis_keys.KEPT + "me", job_id)
            for index in (
                redis_keys.BACKLOG + "me",
                redis_keys.INDEX,
                redis_keys.START_BY,
                redis_keys.QUEUE + "default",
            ):
                assert await world.redis.zscore(index, job_id) is None
        assert not await world.redis.exists(redis_keys.IDEMPOTENCY + "-:k")
        await world.submit("d", **options)
    for job_id in world.job_ids:
        await world.redis.zadd(redis_keys.QUEUE + "default", {job_id: 1}, xx=True)


async def prepare_waiting(world: World) -> None:
    await world.submit("a", "b", start_within_seconds=60)


async def claim_all(world: World) -> None:
    claims = await world.claim() or await world.claim()  # a repeat may find that nothing was claimed
    assert sorted(claim.job_id for claim in claims) == ["a", "b"]
    assert [claim.attempt for claim in claims] == [1, 1]


async def prepare_running(world: World) -> None:
    await world.submit("a", "b")
    await world.claim()


def finishing(kind: OutcomeKind) -> Act:
    async def act(world: World) -> None:
        claims = [Claim("default", name, 1, 1, 3, b"m", b"{}", "r", f"1:{name}") for name in "ab"]
        body = b"1" if kind is OutcomeKind.COMPLETED else ERROR
        lines = b'1 0 {"attempt":1,"message":"m","fields":{}}'
        step = await world.step(*(Finished(c, Outcome(kind, body), b'{"p":1}', lines) for c in claims))
        assert step.accepted == [True, True]

    return act


async def prepare_lost(world: World) -> None:
    await prepare_running(world)
    for lease in ("1:a", "1:b"):
        await world.redis.zadd(redis_keys.LEASES + "default", {lease: 1}, xx=True)


async def prepare_vanished(world: World) -> None:
    """Lose two jobs: a pending one out of its queue, a running one without its lease."""
    await world.submit("a")
    await world.claim()
    await world.submit("b")
    await world.redis.delete(
        redis_keys.LEASES + "default", redis_keys.QUEUE + "default", redis_keys.MESSAGE + "b"
    )


async def prepare_late(world: World) -> None:
    await prepare_waiting(world)
    for name in "ab":
        await world.redis.hset(redis_keys.RECORD + name, "start_by", 1)
        await world.redis.zadd(redis_keys.START_BY, {name: 1})


async def prepare_ended(world: World) -> None:
    await prepare_running(world)
    await finishing(OutcomeKind.COMPLETED)(world)


def trying(*calls: Callable[[World], Awaitable[object]]) -> Act:
    """Ignore failures that a caller may repeat."""

    async def act(world: World) -> None:
        for call in calls:
            try:
                await call(world)
            except QueueUnavailable:
                assert world.runner.failing is None

    return act


CLAIM = Claim("default", "a", 1, 1, 3, b"m", b"{}", "r", "1:a")
CASES: dict[str, tuple[Script, Act, Act, int]] = {
    # script, preparation, act, attempts that the jobs may be charged
    "submit": (scripts.SUBMIT, prepare_file, submit_again, 0),
    "claim": (scripts.STEP, prepare_waiting, claim_all, 0),
    **{
        f"finish {kind}": (scripts.STEP, prepare_running, finishing(kind), int(kind is OutcomeKind.RETRY))
        for kind in OutcomeKind
    },
    "step rescues": (scripts.STEP, prepare_lost, trying(lambda w: w.step()), 1),
    "step expires": (scripts.STEP, prepare_late, trying(lambda w: w.step()), 0),
    "upkeep rescues": (scripts.UPKEEP, prepare_lost, trying(lambda w: w.upkeep.run(["default"])), 1),
    "upkeep expires": (scripts.UPKEEP, prepare_late, trying(lambda w: w.upkeep.run(["default"])), 0),
    "upkeep repairs": (scripts.UPKEEP, prepare_vanished, trying(World.look_again), 0),
    "read rescues": (scripts.RESCUE_AND_READ, prepare_lost, trying(lambda w: w.job_queue.get("a")), 1),
    "read repairs": (scripts.RESCUE_AND_READ, prepare_vanished, trying(lambda w: w.job_queue.get("a")), 0),
    "read expires": (scripts.RESCUE_AND_READ, prepare_late, trying(lambda w: w.job_queue.get("a")), 0),
    "cancel waiting": (scripts.CANCEL, prepare_waiting, trying(lambda w: w.job_queue.cancel("a")), 0),
    "cancel running": (scripts.CANCEL, prepare_running, trying(lambda w: w.job_queue.cancel("a")), 0),
    "cancel lost": (scripts.CANCEL, prepare_lost, trying(lambda w: w.job_queue.cancel("a")), 1),
    "beat": (scripts.BEAT, prepare_running, trying(
        lambda w: w.job_leases.beat(WORKER_INFO, [CLAIM], running=1, lease=9)
    ), 0),
    "report": (scripts.REPORT, prepare_running, trying(
        lambda w: w.job_leases.report([AttemptReport(CLAIM, b"{}", b"")])
    ), 0),
    "leave": (scripts.LEAVE, prepare_waiting, trying(lambda w: w.job_leases.leave("w", ["default"])), 0),
    "redeliver": (scripts.REDELIVER, prepare_ended, trying(lambda w: w.job_queue.redeliver("a")), 0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_a_command_that_fails_loses_and_charges_no_job(case: str, world: World) -> None:
    script, prepare, act, charge = CASES[case]
    number, failed = 0, True
    while failed:
        number += 1
        await world.redis.flushall()
        world.steps, world.job_ids = 0, []
        await prepare(world)
        world.runner.failing = script, number
        await act(world)
        assert world.runner.failing is None
        failed = await world.redis.delete(FAILED) == 1
        await all_jobs_end(world, f"{case}, command {number}", charge)
    assert number > 3


async def all_jobs_end(world: World, where: str, charge: int) -> None:
    """Check that after a repair every job ends at a worker, and that its webhook is sent."""
    await world.look_again()
    for name in world.job_ids:
        await in_place(world, name, where)
    running = [name for name in world.job_ids if (await world.record(name))[b"state"] == b"running"]
    held = [await world.record(name) for name in running]
    claims = [
        Claim("default", name, int(r[b"claims"]), 1, 3, b"m", b"{}", "r", f"{int(r[b'claims'])}:{name}")
        for name, r in zip(running, held, strict=True)
    ] + await world.claim()
    await world.step(*(Finished(claim, Outcome(OutcomeKind.COMPLETED, b"1")) for claim in claims))
    for name in world.job_ids:
        record = await world.record(name)
        assert JobState(record[b"state"].decode()) not in (JobState.PENDING, JobState.RUNNING), (where, name)
        assert int(record.get(b"attempt", 0)) <= 1 + charge, (where, name, record)
        assert await world.redis.ttl(redis_keys.RECORD + name) > 0, (where, name)
        assert record[b"deliveries"] == b"1" or "redeliver" in where, (where, name)
        assert not await world.redis.exists(redis_keys.MESSAGE + name), (where, name)
    assert not await world.redis.exists(redis_keys.LEASES + "default", redis_keys.QUEUE + "default"), where
    await counted_right(world, where)


async def counted_right(world: World, where: str) -> None:
    """Check the caller's quota: no waiting job, and its records until they expire."""
    assert not await world.redis.exists(redis_keys.BACKLOG + "me"), where
    records = [await world.record(name) for name in world.job_ids]
    total = sum(len(record.get(name, b"")) for record in records for name in (b"params", b"result"))
    assert await world.redis.hmget(redis_keys.KEPT + "me", "count", "bytes") == [
        str(len(records)).encode(),
        str(total).encode(),
    ], where
    for member in await world.redis.zrange(redis_keys.KEPT_ENDS, 0, -1):
        await world.redis.zadd(redis_keys.KEPT_ENDS, {member: 1})
    await world.upkeep.run(["default"])
    assert not await world.redis.exists(redis_keys.KEPT + "me", redis_keys.KEPT_ENDS), where


async def in_place(world: World, name: str, where: str) -> None:
    """Whether a job is in its queue while pending, has a lease while running, and expires once ended."""
    record = await world.record(name)
    state = record[b"state"]
    queued = await world.redis.zscore(redis_keys.QUEUE + "default", name) is not None
    lease = f"{record.get(b'claims', b'0').decode()}:{name}"
    leased = await world.redis.zscore(redis_keys.LEASES + "default", lease) is not None
    lives = state in (b"pending", b"running")
    assert (state == b"pending") <= queued, (where, name, record)
    assert (state == b"running") <= leased, (where, name, record)
    waits = await world.redis.zscore(redis_keys.BACKLOG + "me", name) is not None
    assert waits == (state == b"pending"), (where, name, record)
    assert (await world.redis.ttl(redis_keys.RECORD + name) == -1) == lives, (where, name, record)
    indexed = await world.redis.zscore(redis_keys.INDEX_OF + state.decode(), name) is not None
    assert indexed == (not lives), (where, name, record)


FILE_QUOTA = FileQuota("me", files=9, total_bytes=9)
FIRST_ID, SECOND_ID = "file_" + "0" * 32, "file_" + "1" * 32


@pytest.mark.parametrize("script", [scripts.FILE_ADD, scripts.FILE_DROP, scripts.FILE_PRUNE])
async def test_a_command_that_fails_leaves_no_file_for_ever(script: Script, world: World) -> None:
    records = FileRecords(world.runner)

    async def add(file_id: str) -> None:
        await records.add(file_id, None, "text/plain", Stored(1, "00"), retention=1, quota=FILE_QUOTA)

    number, failed = 0, True
    while failed:
        number += 1
        await world.redis.flushall()
        await add(FIRST_ID)
        await world.redis.zadd(redis_keys.FILES, {FIRST_ID: 1})
        world.runner.failing = script, number
        for call in (lambda: add(SECOND_ID), lambda: records.drop(FIRST_ID), records.prune):
            with suppress(QueueUnavailable):
                await call()
        failed = await world.redis.delete(FAILED) == 1
        if script is not scripts.FILE_ADD:  # the second file is counted, and the first one no more
            counts = await world.redis.hmget(redis_keys.UPLOADS + "me", "count", "bytes")
            assert counts == [b"1", b"1"], number
        await world.redis.zadd(redis_keys.FILES, {SECOND_ID: 1}, xx=True)
        await records.prune()
        assert [key async for key in world.redis.scan_iter()] == [], number
    assert number > 2


async def test_the_failure_is_what_redis_says(world: World) -> None:
    world.runner.failing = scripts.SUBMIT, 2
    with pytest.raises(JobServerError, match="Redis refuses the call"):
        await world.submit("a")
    world.runner.failing = scripts.SUBMIT, 5
    with pytest.raises(OutOfMemoryError):
        await scripts.SUBMIT.run(
            world.runner, "", *SubmissionRow("id", "t", "default", 0, 0, 0, 9, "", "", 1, "", 0)
        )
