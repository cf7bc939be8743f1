"""Large batches: prepared in parts that no reader sees, then accepted as a whole or not at all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from chaos.failing_script import FAILED
from dev.stack import Stack
from shared.errors import BacklogFull, IdempotencyConflict, JobNotFound, QueueFull, QueueUnavailable
from shared.record import JobState
from shared.store import large_batch, redis_keys, scripts
from shared.store.client import connect
from shared.store.file_records import FileRecords
from shared.store.job_list import Filters
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from shared.store.scripts import Script
from shared.store.submission import JobQuota, NewJob
from shared.store.upkeep import Upkeep
from tests.integration.failing_runner import FailingRunner
from tests.new_jobs import RETENTION, new_job

QUOTA = JobQuota("me", waiting=1000, kept_bytes=10**6)
FILE_ID = "file_" + "0" * 32


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepare two jobs at a time, so that a batch of five takes three parts and a commit."""
    monkeypatch.setattr(large_batch, "MAX_AT_ONCE", 2)


class Crashed(Exception):
    """The process that submits ends here."""


class CrashingRunner:
    """Runner of commands that a process sends until it crashes: before, or after, its n-th script.

    Attributes:
        sent: scripts so far.
    """

    def __init__(self, redis: Redis, crash_at: int, *, after: bool = False) -> None:
        self._redis, self._crash_at, self._after = redis, crash_at, after
        self.sent = 0

    async def execute_command(self, name: str, *words: Any) -> Any:
        self.sent += name == "EVALSHA"
        if self.sent == self._crash_at and not self._after:
            raise Crashed
        reply = await self._redis.execute_command(name, *words)
        if self.sent == self._crash_at:
            raise Crashed
        return reply


def batch(*names: str, keys: bool = True, **options: Any) -> list[NewJob]:
    return [
        new_job(name, idempotency_key=f"k/{n}" if keys else None, caller="me", **options)
        for n, name in enumerate(names)
    ]


async def submit(redis: Any, jobs: list[NewJob], *, max_waiting: int = 1000) -> list[tuple[str, bool]]:
    queue = JobQueue(redis, RETENTION, max_waiting=max_waiting)
    return [(record.job_id, replayed) for record, replayed in await queue.submit_all(jobs, QUOTA)]


async def end_batches(redis: Redis) -> None:
    """Let the time of all prepared batches pass."""
    for name in await redis.zrange(redis_keys.PREPARED_ENDS, 0, -1):
        await redis.zadd(redis_keys.PREPARED_ENDS, {name: 1})


async def all_keys(redis: Redis) -> set[str]:
    return {key.decode() async for key in redis.scan_iter()} - {redis_keys.UPKEEP, redis_keys.QUEUES}


async def test_a_large_batch_is_accepted_whole(server: Redis, job_queue: JobQueue, worker, indexes_agree):
    submitted = await job_queue.submit_all(batch(*"abcde"), QUOTA)
    assert [record.job_id for record, _ in submitted] == list("abcde")
    assert not any(replayed for _, replayed in submitted)
    for record, _ in submitted:
        stored = await job_queue.get(record.job_id)
        assert {name: stored.fields[name] for name in record.fields} == record.fields
        assert stored.state is JobState.PENDING
    await indexes_agree()
    assert not await server.exists(redis_keys.PREPARED_ENDS)
    claims = await worker.claim(slots=10)
    assert [claim.job_id for claim in claims] == list("abcde")
    assert await server.hmget(redis_keys.KEPT + "me", "count", "bytes") == [b"5", b"10"]


async def test_scheduled_jobs_of_a_large_batch_have_their_times(server: Redis, job_queue: JobQueue):
    jobs = batch(*"abc", delay_seconds=60, start_within_seconds=5) + batch(*"de", keys=False)
    submitted = await job_queue.submit_all(jobs)
    for record, _ in submitted:
        stored = await job_queue.get(record.job_id)
        assert {name: stored.fields[name] for name in record.fields} == record.fields
        created_at, run_at = int(stored.fields[b"created_at"]), stored.fields.get(b"run_at")
        if record.job_id in "abc":
            assert run_at is not None
            assert int(run_at) == created_at + 60_000
            assert int(stored.fields[b"start_by"]) == created_at + 65_000
            assert await server.zscore(redis_keys.START_BY, record.job_id) == created_at + 65_000
        due = await server.zscore(redis_keys.QUEUE + "default", record.job_id)
        assert due == int(run_at or created_at)


@pytest.mark.parametrize("after", [False, True])
async def test_a_process_that_crashes_between_any_two_scripts_leaves_all_jobs_or_none(
    server: Redis, job_queue: JobQueue, upkeep: Upkeep, indexes_agree, after: bool
):
    await server.hset(redis_keys.FILE + FILE_ID, mapping={"size": 1})
    for crash_at in range(1, 5):
        before = await all_keys(server)
        runner = CrashingRunner(server, crash_at, after=after)
        with pytest.raises(Crashed):
            await submit(runner, batch(*"abcde", files=[FILE_ID]))
        committed = after and crash_at == 4
        for name in "abcde":
            if committed:
                assert (await job_queue.get(name)).state is JobState.PENDING
                continue
            with pytest.raises(JobNotFound, match="No job"):  # not JobExpired
                await job_queue.get(name)
            assert await job_queue.version(name) is None
            with pytest.raises(JobNotFound):
                await job_queue.cancel(name)
        assert len((await job_queue.page(Filters(), limit=10, after=None)).records) == 5 * committed
        assert (await job_queue.queue_counts("default")).waiting == 5 * committed
        assert (await job_queue.state_counts())[JobState.PENDING] == 5 * committed
        if committed:
            await indexes_agree()
            assert await submit(server, batch(*"fghij", files=[FILE_ID])) == [(n, True) for n in "abcde"]
        else:
            await end_batches(server)
            for _ in range(3):
                await upkeep.run(["default"])
            assert await all_keys(server) == before


async def test_a_batch_in_the_hands_of_a_crashed_process_may_be_submitted_again_at_its_end(
    server: Redis, upkeep: Upkeep, indexes_agree, monkeypatch
):
    monkeypatch.setattr("shared.store.large_batch.BUSY_PAUSE", 0)
    with pytest.raises(Crashed):
        await submit(CrashingRunner(server, 3), batch(*"abcde"))
    with pytest.raises(QueueUnavailable, match="Another request with this Idempotency-Key"):
        await submit(server, batch(*"fghij"))
    with pytest.raises(QueueUnavailable, match="Another request with this Idempotency-Key"):
        await submit(server, batch("f"))
    await end_batches(server)
    assert await submit(server, batch(*"fghij")) == [(name, False) for name in "fghij"]
    for _ in range(3):  # the upkeep leaves the keys, which the second batch has now
        await end_batches(server)
        await upkeep.run(["default"])
    assert await submit(server, batch(*"klmno")) == [(name, True) for name in "fghij"]
    await indexes_agree()


@pytest.mark.parametrize("script", ["PREPARE", "COMMIT"])
async def test_a_repeat_after_a_lost_reply_changes_nothing(
    server: Redis, job_queue: JobQueue, worker, indexes_agree, script: str
):
    class Repeating:
        async def execute_command(self, name: str, *words: Any) -> Any:
            reply = await server.execute_command(name, *words)
            if words[:1] in ((getattr(scripts, script).sha,), (getattr(scripts, script).source,)):
                claims.extend(await worker.claim(slots=1))
                return await server.execute_command(name, *words)
            return reply

    claims: list[Any] = []
    assert await submit(Repeating(), batch(*"abcde")) == [(name, False) for name in "abcde"]
    running = 1 if script == "COMMIT" else 0
    assert len(claims) == running
    counts = await job_queue.state_counts()
    assert (counts[JobState.PENDING], counts[JobState.RUNNING]) == (5 - running, running)
    assert await server.hmget(redis_keys.KEPT + "me", "count", "bytes") == [b"5", b"10"]
    await indexes_agree()


async def test_the_upkeep_leaves_a_batch_alone_that_is_being_prepared(server: Redis, upkeep: Upkeep):
    with pytest.raises(Crashed):
        await submit(CrashingRunner(server, 4), batch(*"abcde"))
    before = await all_keys(server)
    assert (await upkeep.run(["default"])).repaired == {}
    assert await all_keys(server) == before
    assert await server.zcard(redis_keys.INDEX) == 5


async def test_a_batch_whose_time_has_passed_is_refused_as_a_whole(server: Redis, upkeep: Upkeep):
    class Late:
        def __init__(self, at: int) -> None:
            self.left = at

        async def execute_command(self, name: str, *words: Any) -> Any:
            if name == "EVALSHA":
                self.left -= 1
                if self.left == 0:
                    await end_batches(server)
            return await server.execute_command(name, *words)

    for at in (2, 3, 4):
        with pytest.raises(QueueUnavailable, match="no job of it was accepted"):
            await submit(Late(at), batch(*"abcde"))
        assert await server.zcard(redis_keys.QUEUE + "default") == 0
        for _ in range(3):
            await upkeep.run(["default"])
        assert await all_keys(server) == set()


async def test_a_batch_of_which_redis_has_lost_a_part_is_refused_as_a_whole(server: Redis, upkeep: Upkeep):
    class Losing:
        async def execute_command(self, name: str, *words: Any) -> Any:
            if words[:1] == (scripts.COMMIT.sha,):
                [name_of_batch] = await server.zrange(redis_keys.PREPARED_ENDS, 0, -1)
                await server.rpop(redis_keys.PREPARED + name_of_batch.decode())
                await server.delete(redis_keys.RECORD + "e", redis_keys.MESSAGE + "e")
                await server.zrem(redis_keys.INDEX, "e")
            return await server.execute_command(name, *words)

    with pytest.raises(QueueUnavailable, match="no job of it was accepted"):
        await submit(Losing(), batch(*"abcde", keys=False))
    for _ in range(3):
        await upkeep.run(["default"])
    assert await server.exists(redis_keys.RECORD + "a", redis_keys.INDEX) == 0


@pytest.mark.parametrize("keys", [True, False])
async def test_a_refused_batch_leaves_no_trace_and_its_keys_free(server: Redis, upkeep: Upkeep, keys: bool):
    await submit(server, batch("x", keys=False))
    before = await all_keys(server)
    with pytest.raises(QueueFull, match="waiting jobs: 1"):
        await submit(server, batch(*"abcde", keys=keys), max_waiting=5)
    assert await submit(server, batch(*"fghi", keys=keys), max_waiting=5) == [(n, False) for n in "fghi"]
    await server.zrem(redis_keys.QUEUE + "default", *"fghi")
    for _ in range(3):
        await upkeep.run(["default"])
    assert not any(key.endswith((":a", ":b", ":c", ":d", ":e")) for key in await all_keys(server))
    assert before <= await all_keys(server)


async def test_a_full_queue_refuses_an_unkeyed_batch_before_anything_is_written(server: Redis):
    with pytest.raises(QueueFull):
        await submit(server, batch(*"abcde", keys=False), max_waiting=4)
    assert await all_keys(server) == set()


async def test_a_quota_refuses_a_large_batch_as_a_whole(server: Redis, job_queue: JobQueue, upkeep: Upkeep):
    for keys in (True, False):
        with pytest.raises(BacklogFull, match=r"Waiting jobs of this caller: 0 of 4"):
            await job_queue.submit_all(batch(*"abcde", keys=keys), QUOTA._replace(waiting=4))
        for _ in range(3):
            await upkeep.run(["default"])
        assert await all_keys(server) == set()


async def test_a_conflict_in_the_last_part_refuses_all(server: Redis, upkeep: Upkeep):
    await submit(server, [new_job("x", caller="me", idempotency_key="k/4", params=b'{"other":1}')])
    with pytest.raises(IdempotencyConflict, match="job x"):
        await submit(server, batch(*"abcde"))
    for _ in range(3):
        await upkeep.run(["default"])
    assert await server.zrange(redis_keys.INDEX, 0, -1) == [b"x"]
    assert await server.hmget(redis_keys.KEPT + "me", "count") == [b"1"]


async def test_a_part_of_a_batch_may_be_known_already(server: Redis, indexes_agree):
    await submit(server, batch("x", "y", "z"))
    expected = [("x", True), ("y", True), ("z", True), ("d", False), ("e", False)]
    assert await submit(server, batch(*"abcde")) == expected
    await indexes_agree()


async def test_a_file_that_a_prepared_job_names_is_kept(server: Redis):
    records = FileRecords(server)
    await server.hset(redis_keys.FILE + FILE_ID, mapping={"size": 1})
    await server.zadd(redis_keys.FILES, {FILE_ID: 1})
    with pytest.raises(Crashed):
        await submit(CrashingRunner(server, 4), batch(*"abcde", files=[FILE_ID]))
    assert await records.prune() == ([], False)
    with pytest.raises(Exception, match="needs the file"):
        await records.drop(FILE_ID)
    assert await server.scard(redis_keys.FILE + FILE_ID + ":jobs") == 5


@pytest.mark.parametrize("script", [scripts.PREPARE, scripts.COMMIT])
async def test_a_command_that_fails_leaves_all_jobs_or_none(redis: Redis, indexes_of, script: Script):
    options: dict[str, Any] = {"start_within_seconds": 60, "delay_seconds": 0.001, "files": [FILE_ID]}
    upkeep, number, failed = Upkeep(redis, RETENTION), 0, True
    while failed:
        number += 1
        await redis.flushall()
        await redis.hset(redis_keys.FILE + FILE_ID, "size", 1)
        accepted = "abc"
        try:
            await submit(FailingRunner(redis, (script, number)), batch(*accepted, **options))
        except QueueUnavailable:
            for key in (redis_keys.QUEUE + "default", redis_keys.START_BY):
                assert not await redis.exists(key)
            assert not await redis.exists(redis_keys.BACKLOG + "me")
            await end_batches(redis)
            accepted = "def"
            await submit(redis, batch(*accepted, **options))
        failed = await redis.delete(FAILED) == 1
        for _ in range(3):
            await upkeep.run(["default"])
        await indexes_of(redis)
        for key in (redis_keys.QUEUE + "default", redis_keys.START_BY, redis_keys.BACKLOG + "me"):
            assert await redis.zrange(key, 0, -1) == [name.encode() for name in accepted], number
        assert await redis.scard(redis_keys.FILE + FILE_ID + ":jobs") == 3
        assert await redis.hmget(redis_keys.KEPT + "me", "count", "bytes") == [b"3", b"6"]
        kinds = {redis_keys.RECORD, redis_keys.MESSAGE}
        assert {key for key in await all_keys(redis) if key.startswith(tuple(kinds))} == {
            kind + name for kind in kinds for name in accepted
        }
        assert not await redis.exists(redis_keys.PREPARED_ENDS)
    assert number > 10


@pytest.fixture
async def connections(redis_stack: Stack, redis: Redis) -> AsyncIterator[list[Multiplexer]]:
    opened = [Multiplexer(connect(redis_stack.redis_url)) for _ in range(4)]
    yield opened
    for connection in opened:
        await connection.aclose()


async def test_racing_batches_with_the_same_keys_make_each_job_once(connections, redis: Redis):
    batches = [batch(*(f"{n}-{i}" for i in range(20))) for n in range(12)]
    calls = [submit(connections[n % 4], jobs) for n, jobs in enumerate(batches)]
    answers = await asyncio.gather(*calls)
    assert len({tuple(job_id for job_id, _ in answer) for answer in answers}) == 1
    assert sum(not replayed for answer in answers for _, replayed in answer) == 20
    assert await redis.zcard(redis_keys.QUEUE + "default") == 20
