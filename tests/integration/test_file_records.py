"""File records in Redis: kept for their time, and for as long as a job's record names them."""

import pytest
from redis.asyncio import Redis

from shared.errors import FileInUse, FileNotFound, UnknownFile
from shared.file_writing import Stored
from shared.store import file_records, redis_keys
from shared.store.file_records import FileRecords
from shared.store.job_leases import OutcomeKind

STORED = Stored(3, "abc")
ONE, TWO = (f"file_{n:032x}" for n in range(2))


@pytest.fixture
def records(server: Redis) -> FileRecords:
    return FileRecords(server)


@pytest.fixture
def add(records):
    async def add(file_id: str, retention: int = 100):
        return await records.add(file_id, "a.txt", "text/plain", STORED, retention=retention)

    return add


async def test_a_record_is_read_as_it_was_written(records, add):
    added = await add(ONE)
    assert await records.get(ONE) == added
    assert added.expires_at - added.created_at == 100_000
    assert (added.name, added.content_type, added.size, added.sha256) == ("a.txt", "text/plain", 3, "abc")
    nameless = await records.add(TWO, None, "a/b", STORED, retention=1)
    assert (await records.get(TWO)) == nameless
    assert await records.unknown([ONE, TWO, "x"]) == {"x"}


async def test_a_file_is_kept_for_its_time(records, add):
    await add(ONE)
    await add(TWO, retention=0)
    assert await records.prune() == ([TWO], False)
    with pytest.raises(FileNotFound, match=TWO):
        await records.get(TWO)
    assert (await records.get(ONE)).file_id == ONE


async def test_a_file_is_kept_for_as_long_as_a_record_names_it(records, add, submit, server):
    await add(ONE, retention=0)
    await submit("a", files=[ONE])
    await submit("b", files=[ONE])
    for gone in ("nobody", "a"):
        await server.delete(redis_keys.RECORD + gone)
        await server.zadd(redis_keys.FILES, {ONE: 1})
        assert await records.prune() == ([], False)
    await server.delete(redis_keys.RECORD + "b")
    await server.zadd(redis_keys.FILES, {ONE: 1})
    assert await records.prune() == ([ONE], False)
    assert not await server.exists(redis_keys.FILE + ONE, f"{redis_keys.FILE}{ONE}:jobs", redis_keys.FILES)


async def test_a_file_that_is_needed_is_looked_at_when_it_may_be_so_no_more(
    records, add, submit, worker, server
):
    await add(ONE, retention=0)
    await submit("a", files=[ONE])
    await records.prune()
    assert await server.zscore(redis_keys.FILES, ONE) > (await records.get(ONE)).expires_at + 59_000
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1")
    await server.zadd(redis_keys.FILES, {ONE: 1})
    await records.prune()
    assert await server.zscore(redis_keys.FILES, ONE) == int(
        await server.hget(redis_keys.RECORD + "a", "expires_at")
    )


async def test_many_files_retire_in_turns(records, add, monkeypatch):
    monkeypatch.setattr(file_records, "PRUNED_AT_ONCE", 2)
    for n in range(3):
        await add(f"file_{n:032x}", retention=0)
    first, more = await records.prune()
    second, none_left = await records.prune()
    assert (len(first), more, len(second), none_left) == (2, True, 1, False)


async def test_a_file_of_a_job_that_is_to_be_done_is_not_dropped(records, add, submit, worker):
    await add(ONE)
    await submit("a", files=[ONE])
    with pytest.raises(FileInUse, match="job a "):
        await records.drop(ONE)
    claim = await worker.claim_one()
    with pytest.raises(FileInUse):
        await records.drop(ONE)
    await worker.finish(claim, OutcomeKind.FAILED, b"{}")
    await records.drop(ONE)
    with pytest.raises(FileNotFound):
        await records.drop(ONE)


async def test_a_job_is_accepted_with_all_its_files_or_not_at_all(submit, add, server):
    await add(ONE)
    with pytest.raises(UnknownFile, match=TWO):
        await submit("a", files=[ONE, TWO])
    assert (
        await server.exists(
            redis_keys.RECORD + "a", f"{redis_keys.FILE}{ONE}:jobs", redis_keys.QUEUE + "default"
        )
        == 0
    )
    await submit("a", files=[ONE])
    await server.delete(redis_keys.FILE + ONE)
    await submit("a", files=[ONE])
    assert await server.smembers(f"{redis_keys.FILE}{ONE}:jobs") == {b"a"}


async def test_one_of_many_sweeps(records, server):
    assert [await records.may_sweep(60) for _ in range(3)] == [True, False, False]
    assert 0 < await server.pttl(redis_keys.SWEEP) <= 60_000


@pytest.mark.parametrize("state", ["running", "pending", "completed", "failed", "cancelled", "missing"])
async def test_claims_are_of_use_while_they_run_and_once_they_have_completed_the_job(
    records, submit, worker, job_queue, state
):
    if state != "missing":
        await submit("a")
        claim = await worker.claim_one()
        if state == "pending":
            await worker.finish(claim, OutcomeKind.RETRY, b"{}")
        elif state != "running":
            await worker.finish(claim, OutcomeKind(state), b"{}")
    wanted = {"running": 1, "completed": 1, "pending": 2, "missing": None}.get(state, float("inf"))
    assert await records.oldest_useful_tokens(["a"]) == {"a": wanted}
