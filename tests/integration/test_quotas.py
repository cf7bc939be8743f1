"""Quotas in the store: a caller's counts are exact, whatever happens to its jobs and files."""

import pytest
from redis.asyncio import Redis

from shared.errors import BacklogFull, QuotaReached
from shared.file_writing import Stored
from shared.store import redis_keys
from shared.store.file_records import FileQuota, FileRecords
from shared.store.job_leases import OutcomeKind
from shared.store.submission import JobQuota
from tests.new_jobs import new_job

PARAMS = b'{"message":1}'
ERROR = b'{"code":"e","message":"m","hint":"h","retryable":true,"attempt":1}'
ANN = JobQuota("ann", waiting=2, kept_bytes=0)
ANNS_FILES = FileQuota("ann", files=2, total_bytes=30)
FILE_IDS = [f"file_{n:032x}" for n in range(4)]


@pytest.fixture
def submit_all(job_queue):
    async def submit_all(*job_ids: str, quota: JobQuota | None = ANN, **options):
        jobs = [new_job(job_id, params=PARAMS, caller="ann", **options) for job_id in job_ids]
        return await job_queue.submit_all(jobs, quota)

    return submit_all


@pytest.fixture
def backlog(server: Redis):
    """The ids of ann's jobs that count as waiting."""

    async def backlog() -> set[str]:
        return {job_id.decode() for job_id in await server.zrange(redis_keys.BACKLOG + "ann", 0, -1)}

    return backlog


@pytest.fixture
def kept(server: Redis):
    """The number of ann's counted records, or files, and their bytes."""

    async def kept(prefix: str = redis_keys.KEPT) -> tuple[int, int]:
        count, total = await server.hmget(prefix + "ann", "count", "bytes")
        return int(count or 0), int(total or 0)

    return kept


@pytest.fixture
def expire(server: Redis):
    """Let the time of a finished job's record be over."""

    async def expire(job_id: str) -> None:
        assert await server.zadd(redis_keys.KEPT_ENDS, {f"ann {job_id}": 1}, xx=True, ch=True)
        await server.delete(redis_keys.RECORD + job_id)
        await server.zrem(redis_keys.INDEX, job_id)
        for state in ("completed", "cancelled"):
            await server.zrem(redis_keys.INDEX_OF + state, job_id)

    return expire


# -- jobs that wait


async def test_a_caller_above_its_quota_is_refused_alone(submit_all, server):
    await submit_all("a", "b")
    with pytest.raises(BacklogFull, match="Waiting jobs of this caller: 2 of 2"):
        await submit_all("c")
    await submit_all("d", quota=JobQuota("bob", 2, 0))
    await submit_all("e", quota=None)
    assert not await server.exists(redis_keys.RECORD + "c")


async def test_a_batch_is_accepted_as_a_whole_or_not_at_all(submit_all, backlog, server):
    await submit_all("a")
    with pytest.raises(BacklogFull, match="no room for 2 more"):
        await submit_all("b", "c")
    assert await backlog() == {"a"}
    assert not await server.exists(redis_keys.RECORD + "b", redis_keys.RECORD + "c")


async def test_what_never_fits_is_not_to_be_tried_again(submit_all):
    with pytest.raises(BacklogFull) as refusal:
        await submit_all("a", "b", "c")
    assert "2 jobs at most" in refusal.value.hint
    assert not refusal.value.retryable
    with pytest.raises(QuotaReached) as refusal:
        await submit_all("a", "b", quota=JobQuota("ann", 0, kept_bytes=len(PARAMS)))
    assert not refusal.value.retryable
    await submit_all("a", quota=JobQuota("ann", 0, kept_bytes=len(PARAMS)))
    with pytest.raises(QuotaReached) as refusal:
        await submit_all("b", quota=JobQuota("ann", 0, kept_bytes=len(PARAMS)))
    assert refusal.value.retryable


async def test_a_repeat_of_an_accepted_job_is_never_refused(submit_all):
    await submit_all("a", "b")
    await submit_all("a", "b")
    [first] = await submit_all("k", quota=None, idempotency_key="k")
    [again] = await submit_all("l", idempotency_key="k")
    assert (first.record.job_id, again.record.job_id, again.replayed) == ("k", "k", True)


async def test_scheduled_jobs_wait_too(submit_all):
    await submit_all("a", "b", delay_seconds=60)
    with pytest.raises(BacklogFull):
        await submit_all("c")


@pytest.mark.parametrize("kind", [OutcomeKind.RETRY, OutcomeKind.RELEASED])
async def test_a_job_counts_whenever_it_waits(kind, submit_all, backlog, worker):
    await submit_all("a")
    claim = await worker.claim_one()
    assert await backlog() == set()
    await worker.finish(claim, kind, ERROR, delay=60_000)
    assert await backlog() == {"a"}


@pytest.mark.parametrize("kind", [OutcomeKind.COMPLETED, OutcomeKind.FAILED, OutcomeKind.CANCELLED])
async def test_a_job_that_has_ended_waits_no_more(kind, submit_all, backlog, worker):
    await submit_all("a")
    await worker.finish(await worker.claim_one(), kind, b"1" if kind is OutcomeKind.COMPLETED else ERROR)
    assert await backlog() == set()
    await submit_all("b", "c")


async def test_a_cancelled_job_waits_no_more(submit_all, backlog, job_queue):
    await submit_all("a")
    await job_queue.cancel("a")
    assert await backlog() == set()


async def test_an_expired_job_waits_no_more(submit_all, backlog, upkeep, server):
    await submit_all("a", start_within_seconds=60)
    await server.hset(redis_keys.RECORD + "a", "start_by", 1)
    await server.zadd(redis_keys.START_BY, {"a": 1})
    await upkeep.run(["default"])
    assert await backlog() == set()


async def test_the_job_of_a_dead_worker_waits_again(submit_all, backlog, worker, other):
    await submit_all("a")
    await worker.lose(await worker.claim_one())
    await other.step()
    assert await backlog() == {"a"}


@pytest.mark.parametrize("claimed", [False, True])
async def test_the_repair_puts_the_count_right(claimed, submit_all, backlog, upkeep, server, worker):
    await submit_all("a")
    if claimed:
        await worker.claim()
        await server.zadd(redis_keys.BACKLOG + "ann", {"a": 1})
    else:
        await server.delete(redis_keys.BACKLOG + "ann")
    await upkeep.run(["default"])
    assert await backlog() == (set() if claimed else {"a"})


async def test_what_is_left_over_refuses_nobody(submit_all, backlog, server):
    await server.zadd(redis_keys.BACKLOG + "ann", {"gone": 1, "lost": 2})
    await submit_all("a", "b")
    assert await backlog() == {"a", "b"}


async def test_jobs_without_a_quota_are_not_counted(submit_all, worker, server):
    await submit_all("a", quota=None)
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1")
    assert not await server.exists(redis_keys.BACKLOG + "ann", redis_keys.KEPT + "ann", redis_keys.KEPT_ENDS)


# -- bytes that are kept


async def test_params_and_results_are_kept_until_the_record_expires(
    submit_all, kept, expire, job_queue, upkeep, server, worker, find_leaks
):
    quota = JobQuota("ann", 0, kept_bytes=2 * len(PARAMS) + 5)
    await submit_all("a", quota=quota)
    assert await kept() == (1, len(PARAMS))
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b'"result"')
    assert await kept() == (1, len(PARAMS) + 8)
    with pytest.raises(QuotaReached, match=f"Bytes of params .*: {len(PARAMS) + 8} of {quota[2]}"):
        await submit_all("b", quota=quota)
    await expire("a")
    await submit_all("b", quota=quota)
    assert await kept() == (1, len(PARAMS))
    await job_queue.cancel("b")
    await expire("b")
    await upkeep.run(["default"])
    assert not await server.exists(redis_keys.KEPT + "ann", redis_keys.KEPT_ENDS)
    await worker.claim()  # takes the wake-up
    assert await find_leaks(server) == []


async def test_a_result_above_the_quota_is_kept(submit_all, kept, worker, job_queue):
    await submit_all("a", quota=JobQuota("ann", 0, len(PARAMS)))
    assert await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1" * 1000)
    assert (await job_queue.get("a")).state == "completed"
    assert await kept() == (1, len(PARAMS) + 1000)


async def test_a_repeated_step_counts_once(submit_all, kept, worker):
    await submit_all("a", "b")
    claim = await worker.claim_one()
    for _ in range(3):
        await worker.finish(claim, OutcomeKind.COMPLETED, b"12")
    assert await kept() == (2, 2 * len(PARAMS) + 2)


# -- files


@pytest.fixture
def add(server: Redis):
    records = FileRecords(server)

    async def add(number: int, size: int = 10, quota: FileQuota | None = ANNS_FILES):
        stored = Stored(size, "abc")
        return await records.add(FILE_IDS[number], None, "a/b", stored, retention=100, quota=quota)

    return add


async def test_files_and_their_bytes_are_bounded_for_each_caller(add, kept, server):
    await add(0)
    with pytest.raises(QuotaReached, match="Bytes of files kept for this caller: 10 of 30"):
        await add(1, size=21)
    await add(1, size=20)
    with pytest.raises(QuotaReached, match="Files kept for this caller: 2 of 2"):
        await add(2, size=0)
    with pytest.raises(QuotaReached) as refusal:
        await add(3, size=31, quota=FileQuota("ann", 0, 30))
    assert not refusal.value.retryable
    await add(1, size=20)  # a repeat
    assert await kept(redis_keys.UPLOADS) == (2, 30)
    assert not await server.exists(redis_keys.FILE + FILE_IDS[2])
    await add(2, quota=FileQuota("bob", 1, 10))
    await add(3, quota=None)


async def test_a_file_that_is_deleted_or_retired_gives_its_room_back(add, kept, server):
    records = FileRecords(server)
    await add(0)
    await add(1, size=20)
    await records.drop(FILE_IDS[0])
    assert await kept(redis_keys.UPLOADS) == (1, 20)
    await server.zadd(redis_keys.FILES, {FILE_IDS[1]: 1})
    await records.prune()
    assert not await server.exists(redis_keys.UPLOADS + "ann")
    await add(2, size=30)


async def test_an_upload_is_refused_before_it_comes(add, server):
    records = FileRecords(server)
    await add(0)
    await records.require_room(FileQuota("ann", 2, 30), 20)
    for quota, size in ((FileQuota("ann", 1, 0), 0), (FileQuota("ann", 0, 30), 21)):
        with pytest.raises(QuotaReached):
            await records.require_room(quota, size)
