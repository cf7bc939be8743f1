"""Cancelling in the store, and the calls that race with it."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from dev.stack import PATIENCE
from shared.errors import JobNotFound
from shared.record import TERMINAL_STATES, JobState
from shared.store import redis_keys
from shared.store.cancel_results import CancelResult
from shared.store.job_leases import AttemptReport, OutcomeKind

ERROR = b'{"code":"e","message":"m","hint":"h","retryable":true,"attempt":1}'


async def test_a_waiting_job_is_cancelled_at_once(
    submit, job_queue, server, worker, find_leaks, indexes_agree
):
    await submit("a")
    verdict, record = await job_queue.cancel("a")
    assert (verdict, record.state, record.version) == (CancelResult.CANCELLED, JobState.CANCELLED, 2)
    assert record.parse().cancel_requested
    assert record == await job_queue.get("a")
    assert 0 <= 300 - await server.ttl(redis_keys.RECORD + "a") <= 2
    assert await worker.claim() == []
    await indexes_agree()
    assert await find_leaks(server) == []


async def test_a_scheduled_job_is_cancelled_at_once(submit, job_queue, worker, due, server):
    await submit("a", run_at=datetime.now(UTC) + timedelta(minutes=1))
    assert (await job_queue.cancel("a"))[0] is CancelResult.CANCELLED
    assert await server.zcard(redis_keys.QUEUE + "default") == 0


async def test_a_running_job_is_asked_to_stop(submit, job_queue, server, worker):
    await submit("a")
    claim = await worker.claim_one()
    async with server.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe(redis_keys.CANCEL)
        await subscription.get_message(timeout=PATIENCE)
        verdict, record = await job_queue.cancel("a")
        assert (await subscription.get_message(timeout=PATIENCE))["data"] == b"a"
    assert (verdict, record.state, record.version) == (CancelResult.CANCELLING, JobState.RUNNING, 3)
    assert record.parse().cancel_requested
    assert await worker.finish(claim, OutcomeKind.CANCELLED)
    assert (await job_queue.get("a")).state is JobState.CANCELLED


async def test_asking_a_running_job_again_changes_nothing(submit, job_queue, worker):
    await submit("a")
    await worker.claim_one()
    first = await job_queue.cancel("a")
    assert await job_queue.cancel("a") == first


async def test_cancelling_a_cancelled_job_changes_nothing(submit, job_queue):
    await submit("a")
    first = await job_queue.cancel("a")
    assert await job_queue.cancel("a") == first


@pytest.mark.parametrize("runs", [False, True])
async def test_a_job_is_cancelled_at_the_wanted_versions_alone(runs, submit, job_queue, worker):
    await submit("a")
    if runs:
        await worker.claim_one()
    before = await job_queue.get("a")
    for versions in ([], [before.version + 1], [before.version * 11]):
        verdict, record = await job_queue.cancel("a", versions)
        assert (verdict, record.version) == (CancelResult.CHANGED, before.version)
    assert (await job_queue.get("a")).fields == before.fields
    first = await job_queue.cancel("a", [7, before.version])
    assert first[0] is (CancelResult.CANCELLING if runs else CancelResult.CANCELLED)
    assert await job_queue.cancel("a", [before.version]) == first  # repeated: a reply may have been lost


@pytest.mark.parametrize("kind", [OutcomeKind.COMPLETED, OutcomeKind.FAILED])
async def test_a_finished_job_stays_as_it_is(kind, submit, job_queue, worker):
    await submit("a")
    await worker.finish(await worker.claim_one(), kind, ERROR)
    before = await job_queue.get("a")
    assert await job_queue.cancel("a") == (CancelResult.FINISHED, before)
    assert await job_queue.get("a") == before


async def test_a_missing_job_cannot_be_cancelled(job_queue, server):
    with pytest.raises(JobNotFound):
        await job_queue.cancel("nobody")
    assert [key async for key in server.scan_iter()] == []


@pytest.mark.parametrize("kind", [OutcomeKind.RETRY, OutcomeKind.RELEASED])
async def test_a_job_that_is_put_back_after_a_cancel_is_cancelled(
    kind, submit, job_queue, worker, server, find_leaks, indexes_agree
):
    await submit("a")
    claim = await worker.claim_one()
    await job_queue.cancel("a")
    assert await worker.finish(claim, kind, ERROR, delay=1)
    assert (await job_queue.get("a")).state is JobState.CANCELLED
    assert 0 <= 300 - await server.ttl(redis_keys.RECORD + "a") <= 2
    await indexes_agree()
    await worker.step(slots=1)
    assert await find_leaks(server) == []


async def test_a_job_that_completes_in_spite_of_a_cancel_is_completed(submit, job_queue, worker):
    await submit("a")
    claim = await worker.claim_one()
    await job_queue.cancel("a")
    assert await worker.finish(claim, OutcomeKind.COMPLETED, b"1")
    assert (await job_queue.get("a")).state is JobState.COMPLETED


async def test_every_change_raises_the_version_by_one_and_is_announced(
    submit, job_queue, job_leases, worker, other, server
):
    async with server.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe(redis_keys.CHANGES + "a")
        await subscription.get_message(timeout=PATIENCE)

        async def raised_to(version: int) -> None:
            assert (await job_queue.get("a")).version == version
            assert (await subscription.get_message(timeout=PATIENCE))["data"].split()[0] == str(
                version
            ).encode()

        await submit("a", max_attempts=9)  # nobody knows the id yet, so it is not announced
        claim = await worker.claim_one()
        await raised_to(2)
        await job_leases.report([AttemptReport(claim, b'{"fraction":0.5,"message":""}')])
        await raised_to(3)
        await worker.finish(claim, OutcomeKind.RETRY, ERROR)
        await raised_to(4)
        claim = await worker.claim_one()
        await raised_to(5)
        await worker.finish(claim, OutcomeKind.RELEASED)
        await raised_to(6)
        claim = await worker.claim_one()
        await raised_to(7)
        await worker.lose(claim)
        await other.step()
        await raised_to(8)
        claim = await other.claim_one()
        await raised_to(9)
        await job_queue.cancel("a")
        await raised_to(10)
        await other.finish(claim, OutcomeKind.CANCELLED)
        await raised_to(11)
        await job_queue.cancel("a")
        assert await subscription.get_message(timeout=0.01) is None


class RandomCalls:
    """Calls of two workers and of a client in random order, with a check of all records after each call."""

    def __init__(self, rng, workers, job_queue, server):
        self.names = [f"job-{n}" for n in range(12)]
        self.ended, self.completions = {}, dict.fromkeys(self.names, 0)
        self.rng, self.workers, self.job_queue, self.server = rng, workers, job_queue, server
        self.held = {worker.name: [] for worker in workers}
        self.seen = {}

    async def make_one(self):
        call = self.rng.choices([self.claim, self.finish, self.lose, self.cancel], [4, 6, 2, 1])[0]
        await call(self.rng.choice(self.workers))

    async def claim(self, worker):
        self.held[worker.name] += await worker.claim(slots=self.rng.randint(1, 3))

    async def finish(self, worker):
        if not self.held[worker.name]:
            return
        claim = self.rng.choice(
            self.held[worker.name]
        )  # the claim stays: a later finish is late, or a repeat
        kind = self.rng.choice(list(OutcomeKind))
        before = (await self.job_queue.get(claim.job_id)).done
        accepted = await worker.finish(claim, kind, ERROR)
        self.completions[claim.job_id] += accepted and not before and kind is OutcomeKind.COMPLETED

    async def lose(self, _=None):
        for lease in await self.server.zrange(redis_keys.LEASES + "default", 0, 0):
            await self.server.zadd(redis_keys.LEASES + "default", {lease: 1})

    async def cancel(self, _):
        await self.job_queue.cancel(self.rng.choice(self.names))

    async def check(self):
        """Each change raises the version, and an ended job changes no more."""
        for name in self.names:
            record = await self.job_queue.get(name)
            before = self.seen.get(name, record)
            assert record.version > before.version or record == before, "a change that no version counts"
            self.seen[name] = record
            if record.done:
                assert self.ended.setdefault(name, record) == record
            assert record.done or name not in self.ended


@pytest.mark.parametrize("seed", range(3))
async def test_in_any_order_of_events_a_job_ends_once(
    seed, submit, job_queue, new_worker, server, find_leaks, indexes_agree
):
    """Two workers claim, finish, repeat, lose leases and are overtaken by cancels, at random."""
    rng, workers = random.Random(seed), [new_worker(), new_worker()]
    calls = RandomCalls(rng, workers, job_queue, server)
    for name in calls.names:
        await submit(name, max_attempts=rng.randint(1, 4))
    for _ in range(60):
        await calls.make_one()
        await calls.check()
        await indexes_agree()
    for _ in range(20):
        for claim in await workers[0].claim(slots=5):
            await workers[0].finish(claim, OutcomeKind.COMPLETED, b"1")
        await calls.lose()
        await calls.check()
    assert set(calls.ended) == set(calls.names)
    assert {record.state for record in calls.ended.values()} <= TERMINAL_STATES
    assert max(calls.completions.values()) <= 1
    await workers[0].step(slots=1)
    await indexes_agree()
    assert await find_leaks(server) == []
