"""Many jobs at once: cancel, forget, filters of lists; attempts; the changes since the last look."""

from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from api.bulk import BulkChanges
from shared.errors import JobExpired, JobNotFinished, JobNotFound
from shared.record import JobState
from shared.store import redis_keys
from shared.store.activity import Activity
from shared.store.cancel_results import BulkCancelResult
from shared.store.figures import Figures
from shared.store.job_leases import OutcomeKind
from shared.store.job_list import Filters
from shared.store.job_queue import JobQueue
from shared.store.redis_calls import RedisCalls
from shared.store.submission import JobQuota
from shared.store.workers import WorkerInfo
from tests.manual_worker import ManualWorker
from tests.new_jobs import RETENTION, new_job

INFO = WorkerInfo("w", "host", 1, ("default",), slots=10, started_at=1.5)
LATER = datetime.now(UTC) + timedelta(hours=1)
ERROR = {"code": "x", "message": "m", "hint": "h", "retryable": False}


@pytest.fixture
def bulk(job_queue: JobQueue) -> BulkChanges:
    return BulkChanges(job_queue)


@pytest.fixture
def activity(server: Redis, job_queue: JobQueue) -> Activity:
    return Activity(RedisCalls(server), job_queue, RETENTION)


async def states(job_queue: JobQueue, *ids: str) -> list[str]:
    return [(await job_queue.get(job_id)).state.value for job_id in ids]


# -- cancel


async def test_each_job_has_its_result(submit, worker, job_queue, indexes_agree):
    for job_id in "abc":
        await submit(job_id)
    await worker.finish_next(OutcomeKind.COMPLETED)
    await worker.claim_one()
    results = await job_queue.cancel_all(["a", "b", "c", "nobody"])
    assert results == [
        BulkCancelResult.FINISHED,
        BulkCancelResult.CANCELLING,
        BulkCancelResult.CANCELLED,
        BulkCancelResult.MISSING,
    ]
    assert await job_queue.cancel_all(["c"]) == [BulkCancelResult.FINISHED]
    await indexes_agree()


async def test_a_job_in_another_state_is_kept(submit, worker, job_queue):
    await submit("a")
    await worker.claim_one()
    assert await job_queue.cancel_all(["a"], JobState.PENDING) == [BulkCancelResult.KEPT]
    assert not (await job_queue.get("a")).parse().cancel_requested


async def test_all_that_match_are_cancelled(submit, worker, bulk, job_queue, indexes_agree):
    for n in range(120):
        await submit(f"j{n:03}", "other" if n % 2 else "default")
    await submit("later", run_at=LATER)
    await worker.claim_one()
    result = await bulk.cancel(Filters(queue="default"))
    assert (result.matched, result.changed, result.next) == (61, 61, None)
    assert await states(job_queue, "j000", "j002", "later", "j001") == [
        "running",
        "cancelled",
        "cancelled",
        "pending",
    ]
    await indexes_agree()


async def test_a_dry_run_changes_nothing(submit, bulk, job_queue):
    await submit("a")
    result = await bulk.cancel(Filters(), dry_run=True)
    assert (result.matched, result.changed) == (1, 0)
    assert await states(job_queue, "a") == ["pending"]


async def test_a_call_is_bounded_and_goes_on_where_it_ended(submit, bulk, monkeypatch):
    monkeypatch.setattr("api.bulk.LISTED_AT_ONCE", 5)
    for n in range(12):
        await submit(f"j{n:02}")
    matched, place, calls = 0, None, 0
    while calls == 0 or place:
        result = await bulk.cancel(Filters(), place, seconds=0)
        matched, place, calls = matched + result.matched, result.next, calls + 1
    assert (matched, calls) == (12, 3)


async def test_ids_have_their_errors(submit, worker, bulk):
    await submit("a")
    await submit("b")
    await worker.finish_next(OutcomeKind.COMPLETED)
    result = await bulk.cancel_ids(["a", "b", "nobody"])
    assert (result.matched, result.changed) == (1, 1)
    assert {job_id: error.code for job_id, error in result.errors.items()} == {
        "a": "job_already_finished",
        "nobody": "job_not_found",
    }


# -- forget


async def test_a_forgotten_job_is_expired(submit, worker, job_queue, server):
    await submit("a")
    await worker.finish_next(OutcomeKind.COMPLETED)
    await server.rpush(redis_keys.LOGS + "a", "line")
    await job_queue.forget("a")
    with pytest.raises(JobExpired):
        await job_queue.get("a")
    with pytest.raises(JobExpired):
        await job_queue.forget("a")
    assert (await job_queue.page(Filters(), limit=5, after=None)).records == []
    assert (await job_queue.page(Filters(state=JobState.COMPLETED), limit=5, after=None)).records == []
    assert (await job_queue.state_counts())[JobState.COMPLETED] == 0
    assert not await server.exists(redis_keys.RECORD + "a", redis_keys.LOGS + "a", redis_keys.MESSAGE + "a")


async def test_upkeep_keeps_a_forgotten_job_expired_and_then_prunes_it(
    submit, worker, job_queue, upkeep, server
):
    await submit("a")
    await worker.finish_next(OutcomeKind.COMPLETED)
    await job_queue.forget("a")
    assert (await upkeep.run(["default"])).repaired == {}
    with pytest.raises(JobExpired):
        await job_queue.get("a")
    await server.zadd(redis_keys.INDEX_OF + "completed", {"a": 1})
    await upkeep.run(["default"])
    with pytest.raises(JobNotFound):
        await job_queue.get("a")


async def test_a_job_that_runs_or_waits_is_not_forgotten(submit, worker, job_queue):
    await submit("a")
    with pytest.raises(JobNotFinished):
        await job_queue.forget("a")
    await worker.claim_one()
    with pytest.raises(JobNotFinished):
        await job_queue.forget("a")
    with pytest.raises(JobNotFound):
        await job_queue.forget("nobody")


# -- filters


async def test_lists_are_filtered_by_queue_and_time(submit, job_queue, server):
    for n, queue in enumerate(("a", "b", "a", "b")):
        await submit(f"j{n}", queue)
        await server.zadd(redis_keys.INDEX, {f"j{n}": 1000 + n})
        await server.hset(redis_keys.RECORD + f"j{n}", "created_at", 1000 + n)

    async def ids(**filters: object) -> list[str]:
        page = await job_queue.page(Filters(**filters), limit=5, after=None)
        return [record.job_id for record in page.records]

    assert await ids(queue="a") == ["j2", "j0"]
    assert await ids(queue="a", state=JobState.PENDING) == ["j2", "j0"]
    assert await ids(created_after=1001, created_before=1003) == ["j2", "j1"]
    assert await ids(created_after=1003, state=JobState.PENDING) == ["j3"]
    assert await ids(queue="nobody") == []


# -- attempts


async def test_attempts_are_told_apart(submit, worker, other, upkeep, job_queue):
    await submit("a", max_attempts=5)
    claim = await worker.claim_one()
    await worker.finish(claim, OutcomeKind.RETRY, b'{"code":"x"}')
    await worker.finish(await worker.claim_one(), OutcomeKind.RELEASED)
    await worker.lose(await worker.claim_one())
    await upkeep.run(["default"])
    await other.claim_one()
    record = await job_queue.get("a")
    assert [(past.attempt, past.outcome, past.worker) for past in record.attempts] == [
        (1, "retried", worker.name),
        (2, "released", worker.name),
        (2, "lost", worker.name),
    ]
    assert all(past.started_at <= past.ended_at for past in record.attempts)
    assert record.worker == other.name


async def test_a_claim_that_was_returned_is_no_attempt(submit, worker, job_queue):
    await submit("a")
    await worker.finish(await worker.claim_one(), OutcomeKind.RETURNED)
    assert (await job_queue.get("a")).attempts == []


# -- activity and figures


async def test_a_look_finds_what_has_changed_since_the_last(submit, worker, activity, server):
    assert await activity.look() == ([], 0)
    await submit("a")
    await submit("b")
    assert {record.job_id for record in (await activity.look()).records} == {"a", "b"}
    claim = await worker.claim_one()
    assert [record.state for record in (await activity.look()).records] == [JobState.RUNNING]
    assert (await activity.look()).records == []
    await worker.finish(claim, OutcomeKind.RETRY, b'{"code":"x"}')
    assert [record.state for record in (await activity.look()).records] == [JobState.PENDING]


async def test_a_look_says_how_many_it_has_left_out(job_queue, activity, monkeypatch):
    monkeypatch.setattr("shared.store.activity.MOST_JOBS", 3)
    await activity.look()
    await job_queue.submit_all([new_job(f"j{n}") for n in range(10)])
    records, missed = await activity.look()
    assert (len(records), missed) == (3, 7)


async def test_figures_of_job_types_come_from_those_that_ended_last(submit, worker, server):
    for n in range(4):
        await submit(f"j{n}")
        await worker.finish_next(*((OutcomeKind.FAILED, ERROR) if n == 3 else (OutcomeKind.COMPLETED,)))
        times = {"created_at": 1000, "started_at": 3000, "finished_at": 3000 + 100 * (n + 1)}
        await server.hset(redis_keys.RECORD + f"j{n}", mapping=times)
    figures = (await Figures(server).job_types())["echo"]
    assert (figures.completed, figures.failed) == (3, 1)
    assert (figures.run.p50, figures.wait.p50) == (0.25, 2.0)


async def test_the_history_counts_submitted_and_ended_jobs(submit, worker, job_queue, server):
    await submit("a", "one")
    await submit("b", "default")
    await job_queue.submit_all([new_job(f"j{n}") for n in range(3)])
    await worker.finish_next(OutcomeKind.COMPLETED)
    buckets = await Figures(server).history()
    assert sum(bucket.submitted for bucket in buckets) == 5
    assert sum(bucket.completed for bucket in buckets) == 1
    async for key in server.scan_iter(match=redis_keys.COUNTS + "*"):
        assert 900 < await server.ttl(key) <= 960


async def test_a_full_redis_forgets_a_job_of_a_caller_with_a_quota(redis):
    queue, worker = JobQueue(redis, RETENTION, max_waiting=9), ManualWorker(INFO, redis)
    job = new_job("a", caller="ann")
    await queue.submit(job, JobQuota("ann", 5, 10_000))
    await worker.finish_next(OutcomeKind.COMPLETED)
    await redis.config_set("maxmemory", 1)
    try:
        await queue.forget("a")
    finally:
        await redis.config_set("maxmemory", 0)
    assert await redis.hget(redis_keys.KEPT + "ann", "a") is None
