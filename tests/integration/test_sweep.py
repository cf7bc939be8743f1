"""The sweep of the file store: removes files that no record needs, and nothing else."""

import asyncio

import pytest
from redis.asyncio import Redis

from dev.stack import PATIENCE
from shared.errors import QueueUnavailable, StorageUnavailable
from shared.file_writing import Stored
from shared.files import FileStore, artifact_key, upload_key
from shared.store import redis_keys
from shared.store.client import connect
from shared.store.file_records import FileRecords
from shared.store.job_leases import OutcomeKind
from worker.services import cleaner as module
from worker.services.cleaner import Cleaner, Swept, sweep

STORED = Stored(1, "abc")


@pytest.fixture
def server(fake_redis: Redis) -> Redis:
    return fake_redis


@pytest.fixture
def records(server: Redis) -> FileRecords:
    return FileRecords(server)


@pytest.fixture
def make(files: FileStore):
    """Write artifacts: their job, and one each of its claims."""

    async def make(job_id: str, *claims: int) -> None:
        for claim in claims:
            for name in ("a", "b.txt"):
                await files.put(artifact_key(job_id, claim, "a-worker", name), b"1")

    return make


async def left(files: FileStore, prefix: str, depth: int) -> set[str]:
    return {found.key async for batch in files.listing(prefix, depth) for found in batch}


async def test_artifacts_of_a_job_without_a_record_go(records, files, make, submit, worker, server):
    await submit("x")
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1")
    await make("x", 1)
    await make("gone", 1, 2)
    assert await sweep(records, files) == Swept(artifacts=1, uploads=0, leftovers=0)
    assert await left(files, "jobs", 2) == {"jobs/x/1"}
    await server.delete(redis_keys.RECORD + "x")
    await sweep(records, files)
    assert await left(files, "jobs", 1) == set()
    assert await sweep(records, files) == Swept(0, 0, 0)


@pytest.mark.parametrize(
    ("end", "kept"),
    [(None, {2, 3}), (OutcomeKind.COMPLETED, {2, 3}), (OutcomeKind.RETRY, {3}), (OutcomeKind.FAILED, set())],
)
async def test_only_the_claim_that_runs_or_that_has_completed_the_job_keeps_its_artifacts(
    records, files, make, submit, worker, end, kept
):
    await submit("x")
    await worker.finish(await worker.claim_one(), OutcomeKind.RELEASED)
    claim = await worker.claim_one()
    if end:
        await worker.finish(claim, end, b"{}")
    await make("x", 1, 2, 3)  # the third: claimed after the sweep has looked at the record
    await sweep(records, files)
    found = await left(files, "jobs", 2) - {"jobs/x"}  # an empty folder is left
    assert found == {f"jobs/x/{claim}" for claim in kept}


async def test_an_uploaded_file_goes_with_its_record(records, files):
    for n, retention in ((0, 0), (1, 100)):
        file_id = f"file_{n:032x}"
        await files.put(upload_key(file_id), b"1")
        await records.add(file_id, None, "a/b", STORED, retention=retention)
    assert (await sweep(records, files)).uploads == 1
    assert await left(files, "files", 1) == {f"files/file_{1:032x}"}


async def test_what_an_interrupted_upload_has_left_goes_later(records, files, monkeypatch):
    known = "file_" + "0" * 32
    for name in (known, "file_" + "1" * 32):
        await files.put(upload_key(name), b"1")
    if path := files.local_path("files/file_x#1"):
        path.write_bytes(b"half")
    await records.add(known, None, "a/b", STORED, retention=100)
    assert await sweep(records, files) == Swept(0, 0, 0)
    monkeypatch.setattr(module, "UPLOAD_SECONDS", -60)
    assert (await sweep(records, files)).leftovers == (2 if path else 1)
    assert await left(files, "files", 1) == {f"files/{known}"}


async def test_a_sweep_goes_on_over_many_batches(records, files, make, monkeypatch):
    monkeypatch.setattr("shared.files.LISTED_AT_ONCE", 2)
    for n in range(5):
        await make(f"gone-{n}", 1)
    assert (await sweep(records, files)).artifacts == 5


async def test_a_sweep_without_redis_or_a_store_removes_nothing_and_is_made_again(
    records, files, make, s3_away
):
    await make("x", 1)
    away = connect("redis://127.0.0.1:1/0")
    with pytest.raises(QueueUnavailable):
        await sweep(FileRecords(away), files)
    with pytest.raises(StorageUnavailable):
        await sweep(records, FileStore.open(s3_away))
    await away.aclose(close_connection_pool=True)
    assert await left(files, "jobs", 2) == {"jobs/x/1"}


async def test_workers_take_turns(records, files, make, log_tape, monkeypatch):
    """Of two sweeps at the same time the first removes files, and the second does nothing."""
    swept, turns = [], []

    async def counted(*arguments: object) -> Swept:
        swept.append(arguments)
        return await sweep(records, files)

    async def may_sweep(seconds: float) -> bool:
        turns.append(await FileRecords.may_sweep(records, seconds))
        return turns[-1]

    monkeypatch.setattr(module, "sweep", counted)
    monkeypatch.setattr(records, "may_sweep", may_sweep)
    await make("x", 1)
    workers = [asyncio.create_task(Cleaner(records, files, 60).run()) for _ in range(2)]
    async with asyncio.timeout(PATIENCE):
        while len(turns) < 2 or not log_tape.lines("files removed"):
            await asyncio.sleep(0.01)
    for task in workers:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert sorted(turns) == [False, True]
    assert len(swept) == 1
    assert log_tape.lines("files removed")[0]["artifacts"] == 1
