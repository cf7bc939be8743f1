"""Records too large for the connection that all requests share."""

import json
from dataclasses import replace

import pytest

from shared.errors import JobExpired
from shared.record import JobState
from shared.store import redis_keys
from shared.store.cancel_results import CancelResult
from shared.store.client import Argument
from shared.store.job_leases import OutcomeKind
from shared.store.job_queue import JobQueue
from shared.store.submission import NewJob
from tests.new_jobs import RETENTION, new_job

MEGABYTE = 2**20


class Counter:
    """Runner of commands that counts the bytes of the replies."""

    def __init__(self, redis) -> None:
        self._redis = redis
        self.largest = 0

    async def execute_command(self, name: str, *words: Argument):
        reply = await self._redis.execute_command(name, *words)
        self.largest = max(self.largest, len(repr(reply)))
        return reply


@pytest.fixture
def shared(server) -> Counter:
    return Counter(server)


@pytest.fixture
def split(server, shared) -> JobQueue:
    """A JobQueue with two connections, as in the API."""
    return JobQueue(shared, RETENTION, max_waiting=100, bulk=server)


@pytest.fixture
def add(job_queue, server):
    """Submit a job with large params."""

    async def add(job_id: str, *, key: str | None = None) -> NewJob:
        job = new_job(job_id, params=json.dumps("x" * MEGABYTE).encode(), idempotency_key=key)
        await job_queue.submit(job)
        return job

    return add


async def test_a_large_record_is_read_over_the_other_connection(split, shared, job_queue, add):
    await add("a")
    record = await split.get("a")
    assert record == await job_queue.get("a")
    assert (len(record.fields[b"params"]), record.position) == (MEGABYTE + 2, 1)
    assert shared.largest < 1000


async def test_a_large_record_that_was_claimed_meanwhile_has_no_place(
    split, server, add, worker, monkeypatch
):
    await add("a")
    read = server.execute_command

    async def claim_first(name, *words, **options):
        if name == "HGETALL":
            await worker.claim_one()
        return await read(name, *words, **options)

    monkeypatch.setattr(server, "execute_command", claim_first)
    record = await split.get("a")
    assert (record.state, record.position) == (JobState.RUNNING, 0)


async def test_a_large_record_that_went_meanwhile_has_expired(split, server, add, monkeypatch):
    await add("a")
    read = server.execute_command

    async def drop_first(name, *words, **options):
        if name == "HGETALL":
            await server.delete(redis_keys.RECORD + "a")
        return await read(name, *words, **options)

    monkeypatch.setattr(server, "execute_command", drop_first)
    with pytest.raises(JobExpired):
        await split.get("a")


async def test_a_large_job_is_cancelled(split, shared, add):
    await add("a")
    verdict, record = await split.cancel("a")
    assert (verdict, record.state) == (CancelResult.CANCELLED, JobState.CANCELLED)
    assert len(record.fields[b"params"]) > MEGABYTE
    assert shared.largest < 1000


async def test_a_large_job_is_replayed_whole(split, shared, add):
    job = await add("a", key="k")
    shared.largest = 0
    record, replayed = await split.submit(replace(job, job_id="b"))
    assert (record.job_id, replayed) == ("a", True)
    assert len(record.fields[b"params"]) > MEGABYTE
    assert shared.largest < 1000


async def test_many_large_jobs_are_replayed_as_far_as_they_fit(split, shared, add):
    jobs = [await add(f"a{n}", key=f"k{n}") for n in range(6)]
    again = [replace(job, job_id=job.job_id.replace("a", "b")) for job in jobs]
    shared.largest = 0
    submitted = await split.submit_all(again)
    assert [record.job_id for record, _ in submitted] == [f"a{n}" for n in range(6)]
    assert [b"params" in record.fields for record, _ in submitted] == [True] * 3 + [False] * 3
    assert all(record.state is JobState.PENDING for record, _ in submitted)
    assert shared.largest < 2000


async def test_deliveries_are_shown_without_the_record_that_they_carry(
    split, shared, job_queue, server, worker
):
    await job_queue.submit(new_job("a", webhook="http://x.test/"))
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, json.dumps("x" * MEGABYTE).encode())
    [delivery] = await split.deliveries(await job_queue.get("a"))
    assert b"params" not in delivery.fields
    assert delivery.state is JobState.PENDING
