"""Pages of jobs, while jobs come and go."""

import json
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from shared.record import JobState
from shared.store import job_list, redis_keys
from shared.store import job_queue as job_queues
from shared.store.job_leases import OutcomeKind
from shared.store.job_list import Cursor, Filters
from shared.store.job_queue import JobQueue
from tests.new_jobs import new_job

FAR_AWAY = 4e12  # milliseconds since the epoch


@pytest.fixture
def add(job_queue: JobQueue, server: Redis) -> Callable[..., Awaitable[None]]:
    """Submit a job, created at a moment in milliseconds."""

    async def add(job_id: str, at: int, kind: str = "echo", **labels: str) -> None:
        await job_queue.submit(new_job(job_id, job_type=kind, labels=labels))
        for index in (redis_keys.INDEX, redis_keys.INDEX_OF + "pending"):
            await server.zadd(index, {job_id: at})
        await server.hset(redis_keys.RECORD + job_id, "created_at", at)

    return add


async def ids(
    job_queue: JobQueue, *, limit: int, after: Cursor | None = None, **filters
) -> tuple[list[str], Cursor | None]:
    page = await job_queue.page(Filters(**filters), limit=limit, after=after)
    return [record.job_id for record in page.records], page.next


async def all_ids(job_queue: JobQueue, *, limit: int, after: Cursor | None = None, **filters) -> list[str]:
    found, after = await ids(job_queue, limit=limit, after=after, **filters)
    while after:
        more, after = await ids(job_queue, limit=limit, after=after, **filters)
        found += more
    return found


async def test_the_newest_comes_first(job_queue, add):
    for n in range(5):
        await add(f"j{n}", 1000 + n)
    assert await all_ids(job_queue, limit=2) == ["j4", "j3", "j2", "j1", "j0"]
    assert await ids(job_queue, limit=10) == (["j4", "j3", "j2", "j1", "j0"], None)


async def test_nothing_is_an_empty_page(job_queue):
    assert await ids(job_queue, limit=10) == ([], None)


async def test_jobs_of_the_same_millisecond_are_shown_once_each(job_queue, add):
    for n in range(7):
        await add(f"j{n}", 1000)
    assert await all_ids(job_queue, limit=3) == [f"j{n}" for n in reversed(range(7))]


async def test_jobs_that_come_and_go_between_pages_shift_nothing(job_queue, add, server):
    for n in range(6):
        await add(f"j{n}", 1000 + n // 2)
    first, after = await ids(job_queue, limit=3)
    assert first == ["j5", "j4", "j3"]
    await add("new", 2000)
    for gone in ("j4", "j3"):  # the job at which the page ended
        await server.zrem(redis_keys.INDEX, gone)
        await server.delete(redis_keys.RECORD + gone)
    assert await all_ids(job_queue, limit=3, after=after) == ["j2", "j1", "j0"]


async def test_filters_must_all_match(job_queue, add, worker):
    await add("a", 1, "echo", team="x", tier="1")
    await add("b", 2, "echo", team="y", tier="1")
    await add("c", 3, "sleep", team="x", tier="2")
    assert await all_ids(job_queue, limit=9, type="echo") == ["b", "a"]
    assert await all_ids(job_queue, limit=9, labels={"team": "x"}) == ["c", "a"]
    assert await all_ids(job_queue, limit=9, labels={"team": "x", "tier": "1"}) == ["a"]
    assert await all_ids(job_queue, limit=9, type="sleep", labels={"team": "y"}) == []
    await worker.claim_one()
    assert await all_ids(job_queue, limit=9, state=JobState.RUNNING) == ["a"]
    assert await all_ids(job_queue, limit=9, state=JobState.PENDING, type="echo") == ["b"]


async def test_finished_jobs_are_listed_by_their_end(job_queue, add, worker, server):
    for n, name in enumerate("abc"):
        await add(name, 1000 + n)
    claims = {claim.job_id: claim for claim in await worker.claim(3)}
    for n, name in enumerate("bca"):
        await worker.finish(claims[name], OutcomeKind.COMPLETED, b"1")
        await server.zadd(redis_keys.INDEX_OF + "completed", {name: FAR_AWAY + n}, xx=True)
    assert await all_ids(job_queue, limit=2, state=JobState.COMPLETED) == ["a", "c", "b"]


async def test_waiting_jobs_of_all_queues_are_listed_by_their_due_time(job_queue, add, server):
    for n, name in enumerate("abcd"):
        await add(name, 1000 + n)
    await server.zrem(redis_keys.QUEUE + "default", "b", "d")
    await server.hset(redis_keys.RECORD + "b", "queue", "other")
    await server.hset(redis_keys.RECORD + "d", "queue", "other")
    await server.sadd(redis_keys.QUEUES, "other")
    await server.zadd(redis_keys.QUEUE + "other", {"b": FAR_AWAY, "d": 5})
    await server.zadd(redis_keys.QUEUE + "default", {"a": 7, "c": 7})
    assert await all_ids(job_queue, limit=1, state=JobState.PENDING) == ["b", "c", "a", "d"]


async def test_running_jobs_of_all_queues_are_listed_by_their_ids(job_queue, add, worker, server):
    for n, name in enumerate("cab"):
        await add(name, 1000 + n)
    await worker.claim(3)
    assert await all_ids(job_queue, limit=2, state=JobState.RUNNING) == ["c", "b", "a"]


async def test_pages_of_thousands_with_the_same_due_time_are_found_by_few_commands(job_queue, server):
    names = [f"job-{n:05}" for n in range(20_000)]
    for name in names[7000:7003]:
        await job_queue.submit(new_job(name))
    for key in (redis_keys.INDEX, redis_keys.QUEUE + "default"):
        await server.zadd(key, dict.fromkeys(names, 1000))
    for state in (None, JobState.PENDING):
        found = await ids(job_queue, limit=2, after=("1000", names[7003]), state=state)
        assert found == ([names[7002], names[7001]], ("1000", names[7001]))


async def test_the_counts_of_waiting_and_running_jobs_are_those_of_all_queues(job_queue, add, worker, server):
    for name in "abc":
        await add(name, 1000)
    await worker.claim(1)
    counts = await job_queue.state_counts()
    assert (counts[JobState.PENDING], counts[JobState.RUNNING]) == (2, 1)


async def test_a_record_that_has_retired_is_left_out(job_queue, add, server):
    await add("a", 1)
    await add("b", 2)
    await server.delete(redis_keys.RECORD + "b")
    assert await all_ids(job_queue, limit=1) == ["a"]


async def test_one_call_looks_at_a_bounded_number_and_says_where_to_go_on(job_queue, add, monkeypatch):
    monkeypatch.setattr(job_list, "SCANNED_AT_ONCE", 4)
    monkeypatch.setattr(job_queues, "PAGES_AT_ONCE", 1)
    for n in range(10):
        await add(f"j{n}", 1000 + n, "rare" if n == 1 else "echo")
    first, after = await ids(job_queue, limit=5, type="rare")
    assert (first, after) == ([], ("1006", "j6"))
    assert await all_ids(job_queue, limit=5, type="rare") == ["j1"]


async def test_a_page_carries_the_payload_that_is_asked_for(job_queue, add, server):
    await add("a", 1, team="x")
    await server.hset(redis_keys.RECORD + "a", "result", "1")
    whole = json.loads((await job_queue.get("a")).to_json())
    for payload in ((), ("params",), ("result",), ("params", "result")):
        [record] = (await job_queue.page(Filters(), limit=1, after=None, payload=payload)).records
        left_out = {"params", "result"} - {*payload}
        assert json.loads(record.to_json(payload=payload)) == {
            name: value for name, value in whole.items() if name not in left_out
        }


async def test_a_page_ends_by_bytes(job_queue, add, server):
    megabyte = json.dumps({"text": "x" * 2**20})
    for n in range(9):
        await add(f"j{n}", 1000 + n // 3)
        await server.hset(redis_keys.RECORD + f"j{n}", "params", megabyte)
    sizes, found, after = [], [], None
    while True:
        page = await job_queue.page(Filters(), limit=100, after=after, payload=["params"])
        sizes.append(sum(len(record.to_json(payload=["params"])) for record in page.records))
        found += [record.job_id for record in page.records]
        after = page.next
        if not after:
            break
    assert found == [f"j{n}" for n in reversed(range(9))]
    assert len(sizes) == 3
    assert max(sizes) <= 4 * 2**20
    assert await all_ids(job_queue, limit=100) == found


async def test_a_record_larger_than_a_page_is_a_page(job_queue, add, server):
    for n in range(3):
        await add(f"j{n}", 1000 + n)
    await server.hset(redis_keys.RECORD + "j1", "params", json.dumps({"text": "x" * 5 * 2**20}))
    pages, after = [], None
    while True:
        page = await job_queue.page(Filters(), limit=100, after=after, payload=["params"])
        pages.append([record.job_id for record in page.records])
        after = page.next
        if not after:
            break
    assert pages == [["j2"], ["j1"], ["j0"]]
