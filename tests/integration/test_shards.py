"""A store of several shards behind the interface of one: ids, lists, sums, and a shard that is away."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from api.bulk import BulkChanges
from dev.cluster import RedisCluster
from shared.errors import FileNotFound, IdempotencyConflict, QueueUnavailable
from shared.file_writing import Stored
from shared.ids import new_file_id, new_job_id, on_shard, shard_of
from shared.record import JobState
from shared.store import scripts
from shared.store.activity import Activity
from shared.store.cancel_results import BulkCancelResult
from shared.store.client import connect
from shared.store.figures import Figures
from shared.store.file_records import FileRecords
from shared.store.job_leases import OutcomeKind
from shared.store.job_list import Filters
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from shared.store.placement import Placement
from shared.store.queues import Queues
from shared.store.redis_calls import RedisCalls
from shared.store.scripts import Script
from shared.store.shards import Shards
from shared.store.submission import JobQuota
from shared.store.workers import WorkerInfo
from shared.stored_record import StoredRecord
from tests.manual_worker import ManualWorker
from tests.new_jobs import RETENTION, new_job

COUNT = 4
SOON = 30.0


class Breakable:
    """A runner whose server can go away.

    Attributes:
        errors: raised by the next calls.
        refused: a script that is refused for lack of replicas.
    """

    def __init__(self, runner: Multiplexer) -> None:
        self.runner = runner
        self.away = False
        self.errors: list[Exception] = []
        self.refused: Script | None = None

    async def execute_command(self, name: str, *words: Any) -> Any:
        if self.errors:
            raise self.errors.pop()
        if self.refused and words[:1] == (self.refused.sha,):
            raise ResponseError("NOREPLICAS Not enough good replicas to write.")
        if self.away:
            raise RedisConnectionError("It is away.")
        return await self.runner.execute_command(name, *words)


@pytest.fixture
async def runners(redis_cluster: RedisCluster, cluster_redis: Redis) -> AsyncIterator[list[Breakable]]:
    """The runners of the shards, which are empty."""
    opened = [Multiplexer(connect(redis_cluster.url, shard=shard)) for shard in range(COUNT)]
    yield [Breakable(runner) for runner in opened]
    for runner in opened:
        await runner.aclose()


@pytest.fixture
async def shards(runners: list[Breakable]) -> AsyncIterator[Shards]:
    shards = Shards(runners)
    yield shards
    shards.end_pings()


@pytest.fixture
def queue(shards: Shards) -> JobQueue:
    return JobQueue(shards, RETENTION, max_waiting=1000, placement=Placement(shards))


@pytest.fixture
def workers(runners: list[Breakable]) -> list[ManualWorker]:
    """A worker on each shard; its process is the same."""
    info = WorkerInfo("worker", "host", 1, ("default",), slots=10, started_at=1.5)
    return [ManualWorker(info, runner) for runner in runners]  # type: ignore[arg-type]


async def submit(queue: JobQueue, count: int, **options: Any) -> list[str]:
    return [(await queue.submit(new_job(new_job_id(), **options))).record.job_id for _ in range(count)]


async def all_pages(queue: JobQueue, limit: int, **filters: Any) -> list[str]:
    found, after = [], None
    while True:
        page = await queue.page(Filters(**filters), limit=limit, after=after)
        bare = await queue.page(Filters(**filters), limit=limit, after=after, payload=None)
        assert [job.job_id for job in bare.records] == [job.job_id for job in page.records]
        assert len(page.records) <= limit
        found += [record.job_id for record in page.records]
        after = page.next
        if after is None:
            return found


# -- placement


async def test_jobs_go_to_the_shards_in_turn_and_their_ids_say_where(queue, runners):
    job_ids = await submit(queue, 2 * COUNT)
    assert Counter(shard_of(job_id, COUNT) for job_id in job_ids) == dict.fromkeys(range(COUNT), 2)
    for job_id in job_ids:
        record = await queue.get(job_id)
        assert (record.job_id, record.state) == (job_id, JobState.PENDING)
        alone = JobQueue(runners[shard_of(job_id, COUNT)], RETENTION, max_waiting=1)
        assert (await alone.get(job_id)).job_id == job_id


async def test_a_repeat_with_the_same_idempotency_key_meets_the_first_job(queue):
    for number in range(2 * COUNT):
        first = await queue.submit(new_job(new_job_id(), idempotency_key=f"key-{number}"))
        again = await queue.submit(new_job(new_job_id(), idempotency_key=f"key-{number}"))
        assert (again.record.job_id, again.replayed) == (first.record.job_id, True)
    with pytest.raises(IdempotencyConflict):
        await queue.submit(new_job(new_job_id(), idempotency_key="key-0", params=b'{"message":2}'))


@pytest.mark.parametrize("count", [20, 120])
async def test_a_batch_goes_whole_to_one_shard(queue, count):
    submitted = await queue.submit_all([new_job(new_job_id()) for _ in range(count)])
    assert len({shard_of(record.job_id, COUNT) for record, _ in submitted}) == 1
    assert (await queue.state_counts())[JobState.PENDING] == count


async def test_the_jobs_of_a_caller_with_a_quota_are_counted_on_one_shard(queue):
    quota = JobQuota("ann", waiting=100, kept_bytes=0)
    records = [
        (await queue.submit(new_job(new_job_id(), caller="ann"), quota)).record for _ in range(2 * COUNT)
    ]
    assert len({shard_of(record.job_id, COUNT) for record in records}) == 1


async def test_a_job_that_names_a_file_goes_to_the_shard_of_files(queue, shards):
    files, file_id = FileRecords(shards), new_file_id()
    await files.add(file_id, "a", "text/plain", Stored(1, "0" * 64), retention=100)
    job_ids = await submit(queue, COUNT, files=[file_id])
    assert {shard_of(job_id, COUNT) for job_id in job_ids} == {0}
    assert (await files.get(file_id)).size == 1
    found = await files.oldest_useful_tokens([*job_ids, on_shard(new_job_id(), 2)])
    assert [*found.values()] == [*(1,) * COUNT, None]
    await queue.cancel_all(job_ids)
    await files.drop(file_id)
    with pytest.raises(FileNotFound):
        await files.get(file_id)


# -- lists and sums


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_lists_have_the_jobs_of_all_shards_in_one_order(queue, workers, limit):
    job_ids = await submit(queue, 13)
    await submit(queue, 5, job_type="other")
    for worker in workers:
        await worker.finish_next(OutcomeKind.COMPLETED, 1)
    whole = await all_pages(queue, limit)
    assert len(whole) == len(set(whole)) == 18
    records = {record.job_id: record for record in await queue.several(whole, ["created_at", "expires_at"])}

    def is_sorted(found: list[str], field: bytes) -> bool:
        keys = [(int(records[job_id].fields[field]), job_id) for job_id in found]
        return keys == sorted(keys, reverse=True)

    assert is_sorted(whole, b"created_at")
    completed = await all_pages(queue, limit, state=JobState.COMPLETED)
    assert len(completed) == COUNT
    assert is_sorted(completed, b"expires_at")
    assert sorted(await all_pages(queue, limit, state=JobState.PENDING)) == sorted({*whole} - {*completed})
    assert sorted(await all_pages(queue, limit, type="echo")) == sorted(job_ids)


async def test_running_jobs_are_listed_by_their_ids(queue, workers):
    job_ids = await submit(queue, 9)
    for worker in workers:
        await worker.claim(10)
    assert await all_pages(queue, 2, state=JobState.RUNNING) == sorted(job_ids, reverse=True)
    assert sorted(job.job_id for job in await queue.running_jobs()) == sorted(job_ids)


async def test_counts_and_queues_are_sums(queue, shards, workers):
    await submit(queue, 9)
    for worker in workers:
        await worker.beat()
        await worker.claim_one()
    assert (await queue.state_counts())[JobState.PENDING] == 9 - COUNT
    assert await queue.queue_counts("default") == (9 - COUNT, COUNT)
    [state] = await Queues(shards, []).all()
    assert (state.ready, state.running, state.workers, state.concurrency) == (9 - COUNT, COUNT, 1, 10)
    assert len(await queue.workers()) == 1
    assert sum(bucket.submitted for bucket in await Figures(shards).history()) == 9


async def test_several_jobs_keep_their_order(queue):
    job_ids = await submit(queue, 9)
    unknown = on_shard(new_job_id(), 1)
    records = await queue.several([*job_ids, unknown], ["state"])
    assert [record.job_id for record in records] == [*job_ids, unknown]
    assert [bool(record.fields) for record in records] == [*(True,) * 9, False]
    results = await queue.cancel_all([unknown, *job_ids])
    assert results == [BulkCancelResult.MISSING, *(BulkCancelResult.CANCELLED,) * 9]


async def test_a_pause_holds_on_every_shard(queue, shards, workers):
    queues = Queues(shards, [])
    await submit(queue, COUNT)
    assert (await queues.pause("default", "ann", "")).pause is not None
    assert [await worker.claim() for worker in workers] == [[]] * COUNT
    assert (await queues.resume("default")).pause is None
    assert [len(await worker.claim()) for worker in workers] == [1] * COUNT


async def test_a_look_finds_the_changes_of_all_shards(queue, shards):
    activity = Activity(RedisCalls(shards), queue, RETENTION)
    await activity.look()
    job_ids = await submit(queue, 2 * COUNT)
    assert {record.job_id for record in (await activity.look()).records} == {*job_ids}


async def test_a_queue_position_is_an_estimate_over_all_shards(queue):
    job_ids = await submit(queue, 3 * COUNT)
    record = await queue.get(job_ids[-1])
    assert record.position == 2 * COUNT + 1
    shown = orjson.loads(record.to_json(await queue.estimate_wait(record)))
    assert (shown["queue_position"], shown["queue_position_estimated"]) == (2 * COUNT + 1, True)


async def test_a_job_that_is_the_first_of_its_shard_is_the_first_of_its_queue(queue):
    [job_id] = await submit(queue, 1)
    assert (await queue.get(job_id)).position == 1


# -- a shard that is away


async def test_a_shard_that_is_away_costs_its_own_jobs_alone(queue, runners):
    job_ids = await submit(queue, 2 * COUNT)
    runners[2].away = True
    lost = [job_id for job_id in job_ids if shard_of(job_id, COUNT) == 2]
    for job_id in lost:
        with pytest.raises(QueueUnavailable):
            await queue.get(job_id)
    page = await queue.page(Filters(), limit=100, after=None)
    assert page.incomplete
    assert {record.job_id for record in page.records} == {*job_ids} - {*lost}
    assert 2 not in {shard_of(job_id, COUNT) for job_id in await submit(queue, 2 * COUNT)}
    await queue.ping()
    assert (await queue.queue_counts("default")).waiting == 4 * COUNT - len(lost)
    runners[2].away = False
    await until_none_is_missing(queue)
    page = await queue.page(Filters(), limit=100, after=None)
    assert (page.incomplete, len(page.records)) == (False, 4 * COUNT)


async def test_a_shard_comes_back_although_a_ping_ends_in_an_unknown_error(queue, runners):
    runners[2].away = True
    await queue.state_counts()
    runners[2].errors, runners[2].away = [RuntimeError("unknown")], False
    await until_none_is_missing(queue)
    assert not runners[2].errors


async def test_without_any_shard_the_queue_is_unavailable(queue, runners):
    for runner in runners:
        runner.away = True
    for call in (queue.ping(), queue.state_counts(), queue.submit(new_job(new_job_id()))):
        with pytest.raises(QueueUnavailable):
            await call


async def test_a_pause_that_does_not_reach_every_shard_names_those_that_lack_it(
    queue, shards, runners, workers
):
    await submit(queue, COUNT)
    runners[1].away = True
    with pytest.raises(QueueUnavailable) as refused:
        await Queues(shards, []).pause("default", None, "")
    assert missing_in(refused.value) == ["shards.1"]
    assert refused.value.message == "Shard 1 of 4 does not answer. The change holds on the other shards."
    runners[1].away = False
    assert [len(await worker.claim()) for worker in workers] == [0, 1, 0, 0]


def missing_in(error: QueueUnavailable) -> list[str]:
    return [detail["path"] for detail in error.details if detail["kind"] == "shard_missing"]


async def test_a_call_for_a_shard_that_is_away_names_it(queue, runners):
    runners[3].away = True
    with pytest.raises(QueueUnavailable) as refused:
        await queue.get(on_shard(new_job_id(), 3))
    assert refused.value.message == "Shard 3 of 4 does not answer (ConnectionError)."
    assert missing_in(refused.value) == ["shards.3"]


async def test_a_list_is_incomplete_although_the_shard_comes_back_meanwhile(queue, shards, runners):
    runners[2].away = True
    await queue.state_counts()
    with shards.missing.noted() as missing:
        shards.missing.numbers.discard(2)
    assert missing == {2}


async def test_no_shard_is_named_if_none_answers(queue, runners):
    for runner in runners:
        runner.away = True
    with pytest.raises(QueueUnavailable) as refused:
        await queue.state_counts()
    assert (refused.value.message, refused.value.details) == ("Redis does not answer (ConnectionError).", [])


# -- bulk changes without a shard


@pytest.mark.parametrize("by_ids", [True, False])
async def test_jobs_of_all_other_shards_are_cancelled_and_the_missing_one_is_named(queue, runners, by_ids):
    job_ids, bulk = await submit(queue, 2 * COUNT), BulkChanges(queue)
    runners[2].away = True
    with pytest.raises(QueueUnavailable) as refused:
        await (bulk.cancel_ids(job_ids) if by_ids else bulk.cancel(Filters(state=JobState.PENDING)))
    assert missing_in(refused.value) == ["shards.2"]
    assert refused.value.message.endswith(f"Jobs of the others that were cancelled: {2 * COUNT - 2}.")
    assert (await queue.state_counts())[JobState.PENDING] == 0
    runners[2].away = False
    await until_none_is_missing(queue)
    assert (await bulk.cancel(Filters(state=JobState.PENDING))).changed == 2


async def test_ids_of_other_shards_are_cancelled_as_if_none_were_missing(queue, runners):
    job_ids = [job_id for job_id in await submit(queue, COUNT) if shard_of(job_id, COUNT) != 2]
    runners[2].away = True
    await queue.state_counts()
    assert (await BulkChanges(queue).cancel_ids(job_ids)).changed == COUNT - 1


async def test_a_retry_with_a_key_repeats_the_jobs_of_other_shards_each_once(queue, runners):
    bulk, filters = BulkChanges(queue), Filters(state=JobState.CANCELLED)
    await queue.cancel_all(await submit(queue, 2 * COUNT))
    runners[2].away = True

    async def retry(old: StoredRecord) -> str:
        return (await queue.submit(new_job(new_job_id(), idempotency_key=f"key/{old.job_id}"))).record.job_id

    with pytest.raises(QueueUnavailable) as refused:
        await bulk.retry(filters, retry)
    assert missing_in(refused.value) == ["shards.2"]
    runners[2].away = False
    await until_none_is_missing(queue)
    assert (await bulk.retry(filters, retry)).changed == 2 * COUNT
    assert (await queue.state_counts())[JobState.PENDING] == 2 * COUNT


async def test_a_retry_repeats_the_jobs_of_other_shards_although_one_refuses_writes(queue, runners):
    bulk, filters = BulkChanges(queue), Filters(state=JobState.CANCELLED)
    await queue.cancel_all(await submit(queue, 2 * COUNT))
    runners[2].refused = scripts.SUBMIT
    keys: dict[str, str] = {}

    async def retry(old: StoredRecord) -> str:
        key = keys.setdefault(old.job_id, str(len(keys)))
        return (await queue.submit(new_job(new_job_id(), idempotency_key=key))).record.job_id

    with pytest.raises(QueueUnavailable) as refused:
        await bulk.retry(filters, retry)
    repeated = (await queue.state_counts())[JobState.PENDING]
    assert 0 < repeated < 2 * COUNT
    assert refused.value.message.endswith(f"that were repeated: {repeated}.")
    assert missing_in(refused.value) == ["shards.2"]
    runners[2].refused = None
    assert (await bulk.retry(filters, retry)).changed == 2 * COUNT


async def test_a_retry_without_a_key_repeats_no_job_while_a_shard_is_missing(queue, runners):
    await queue.cancel_all(await submit(queue, 2 * COUNT))
    runners[2].away = True

    async def retry(old: StoredRecord) -> str:
        raise AssertionError(old.job_id)

    with pytest.raises(QueueUnavailable, match=r"that were repeated: 0\.") as refused:
        await BulkChanges(queue).retry(Filters(state=JobState.CANCELLED), retry, repeatable=False)
    assert "Idempotency-Key" in refused.value.hint


async def until_none_is_missing(queue: JobQueue) -> None:
    async with asyncio.timeout(SOON):
        while queue.missing.numbers:
            await asyncio.sleep(0.05)
