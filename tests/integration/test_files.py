"""The file store, in a folder and in a bucket behind the S3 protocol."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import GenericError

from dev.stack import PATIENCE, ROOT, wait_until
from shared import files as module
from shared.errors import StorageFull, StorageUnavailable
from shared.file_writing import PIECE, Stored
from shared.files import PART, WRITES_AT_ONCE, FileStore

SIZES = (0, 1, PIECE - 1, PIECE, PIECE + 1, PART + PIECE + 7)


async def chunked(data: bytes, size: int = 65_537) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
        yield b""


async def content(files: FileStore, key: str) -> bytes:
    return b"".join([piece async for piece in files.read(key, 0, await files.size(key))])


async def keys(files: FileStore, prefix: str, depth: int) -> list[str]:
    return sorted([found.key async for batch in files.listing(prefix, depth) for found in batch])


def nonsense(size: int) -> bytes:
    return bytes(i * i % 251 for i in range(997)) * (size // 997) + b"." * (size % 997)


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_put_is_read_again(files: FileStore, size: int, tmp_path: Path):
    data = nonsense(size)
    path = tmp_path / "source"
    path.write_bytes(data)
    for key, source in (("files/a", data), ("files/b", path), ("files/c", chunked(data))):
        assert await files.put(key, source) == Stored(size, sha256(data).hexdigest())
        assert await files.size(key) == size
        assert await content(files, key) == data


async def test_a_part_is_read_alone(files: FileStore):
    data = nonsense(3 * PIECE)
    await files.put("files/a", data)
    for start, end in ((0, 1), (PIECE - 1, PIECE + 1), (5, 2 * PIECE + 5), (3 * PIECE - 1, 3 * PIECE)):
        pieces = [piece async for piece in files.read("files/a", start, end)]
        assert b"".join(pieces) == data[start:end]
        assert max(map(len, pieces)) <= PIECE


async def test_the_last_one_counts(files: FileStore):
    await files.put("files/a", b"longer than what follows")
    await files.put("files/a", chunked(b"new"))
    assert await content(files, "files/a") == b"new"


async def test_what_is_not_there(files: FileStore):
    await files.put("jobs/x/1/a", b"1")
    for key in ("files/a", "jobs/x/1"):
        with pytest.raises(FileNotFoundError):
            await files.size(key)
        with pytest.raises(FileNotFoundError):
            await anext(files.read(key, 0, 1))
    await files.delete("files/a")
    assert await keys(files, "files", 1) == []


async def test_the_listing_goes_as_deep_as_it_is_asked(files: FileStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LISTED_AT_ONCE", 2)
    for key in ("jobs/x/1/a", "jobs/x/1/b", "jobs/x/2/a", "jobs/xx/1/a", "files/a", "files/b", "files/c"):
        await files.put(key, b"1")
    assert await keys(files, "files", 1) == ["files/a", "files/b", "files/c"]
    assert await keys(files, "jobs", 1) == ["jobs/x", "jobs/xx"]
    assert await keys(files, "jobs", 2) == ["jobs/x/1", "jobs/x/2", "jobs/xx/1"]


async def test_a_folder_goes_with_all_that_is_in_it_and_no_other(files: FileStore):
    for key in ("jobs/x/1/a", "jobs/x/1/b", "jobs/x/11/a", "jobs/xx/1/a"):
        await files.put(key, b"1")
    await files.delete("jobs/x/1")
    assert await keys(files, "jobs", 2) == ["jobs/x/11", "jobs/xx/1"]
    await files.delete("jobs/x")
    assert await keys(files, "jobs", 2) == ["jobs/xx/1"]


async def test_a_source_that_fails_leaves_nothing(files: FileStore):
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(2 * PART + PIECE)
        raise ZeroDivisionError

    await files.put("files/b", b"before")
    for key in ("files/a", "files/b"):
        with pytest.raises(ZeroDivisionError):
            await files.put(key, broken())
    assert await keys(files, "files", 1) == ["files/b"]
    assert await content(files, "files/b") == b"before"


@pytest.mark.parametrize("given", [0, PIECE, 2 * PART + PIECE])
async def test_a_put_that_is_cancelled_leaves_nothing(files: FileStore, given: int):
    taken = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(given)
        taken.set()
        await asyncio.Event().wait()

    put = asyncio.create_task(files.put("files/a", endless()))
    await taken.wait()
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    assert await keys(files, "files", 1) == []


async def test_a_path_that_is_not_there_is_the_callers_fault(files: FileStore, tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        await files.put("files/a", tmp_path / "nothing")


async def test_an_object_in_a_folder_can_be_read_where_it_lies(files: FileStore, tmp_path: Path):
    await files.put("files/a", b"1")
    path = files.local_path("files/a")
    assert path in (None, tmp_path / "a b" / "files" / "a")
    assert path is None or path.read_bytes() == b"1"


async def test_a_bucket_that_is_away_is_said_to_be_so_soon(s3_away: str, tmp_path: Path):
    store = FileStore.open(s3_away)
    calls = [
        store.size("files/a"),
        store.put("files/a", b"1"),
        store.put("files/a", chunked(bytes(PART * 2))),
    ]
    calls += [store.delete("files/a"), keys(store, "files", 1), content(store, "files/a")]
    async with asyncio.timeout(30):  # the retries of the library would go on for three minutes
        for call in calls:
            with pytest.raises(StorageUnavailable, match="does not answer"):
                await call
    store.close()


async def test_a_bucket_that_is_silent_is_given_up(s3_away: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BUCKET_TIMES", {"timeout": "500ms"})
    monkeypatch.setattr(module, "BUCKET_RETRIES", {"max_retries": 0})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        store = FileStore.open("s3://bucket")
        with pytest.raises(StorageUnavailable):
            await store.size("files/a")
        store.close()


async def test_a_bucket_that_does_not_exist_is_no_missing_source(s3: str):
    store = FileStore.open("s3://other-bucket")
    with pytest.raises(StorageUnavailable):
        await store.put("files/a", b"1")
    store.close()


@pytest.mark.parametrize("size", [1, 2 * PART])
@pytest.mark.parametrize(
    "reason",
    ["No space left on device (os error 28)", "Disk quota exceeded (os error 122)", "XMinioStorageFull"],
)
async def test_a_full_store_says_so(
    files: FileStore, monkeypatch: pytest.MonkeyPatch, size: int, reason: str
):
    def full(*_: object, **__: object) -> None:
        raise GenericError(f"Generic error: Unable to upload data: {reason}")

    assert await files.has_room()
    with monkeypatch.context() as disk:
        disk.setattr(obstore, "put", full)
        disk.setattr(obstore, "open_writer", full)
        with pytest.raises(StorageFull, match="no room"):
            await files.put("files/a", chunked(bytes(size)))
        assert not await files.has_room()
    assert await files.has_room()
    await files.put("files/a", b"1")
    assert await keys(files, "files", 1) == ["files/a"]


async def test_slow_writers_hold_up_nobody(files: FileStore):
    """There are more slow writers than threads, each in the middle of its file."""
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(PIECE)
        begun.release()
        await go_on.wait()
        yield bytes(1)

    writes = [asyncio.create_task(files.put(f"files/{n}", slow())) for n in range(2 * WRITES_AT_ONCE)]
    for _ in writes:
        await begun.acquire()
    async with asyncio.timeout(PATIENCE):
        await files.put("files/quick", b"1")
    go_on.set()
    assert {stored.size for stored in await asyncio.gather(*writes)} == {PIECE + 1}


async def test_an_unwritable_folder_is_unavailable(tmp_path: Path):
    store = FileStore.open(tmp_path.as_uri())
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(StorageUnavailable):
        await store.put("files/a", b"1")
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data",
        "/data",
        "file:data",
        "file://data/x",
        "http://x/y",
        "s3:///x",
        "s3://",
        "s3://x?y=1",
        "memory:///",
        "file:///data?x=1",
        "s3://[x",
        "s3://bucket name/x",
    ],
)
def test_urls_of_no_store(url: str):
    with pytest.raises(ValueError, match="must be like file:///absolute/path or s3://bucket/prefix"):
        FileStore.open(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hunter2@bucket/prefix",
        "s3://key:hun/hunter2@bucket",
        "s3://hunter2@bucket",
        "s3://key:hunter2",
        "s3://[hunter2]@bucket",
        "s3://hunter2：@bucket",
        "s3://bucket?secret=hunter2",
        "s3://bucket#hunter2",
        "file://key:hunter2@host/folder",
        "file:///folder?hunter2",
        "https://key:hunter2@host/bucket",
    ],
)
def test_a_url_that_is_refused_is_not_quoted(url: str):
    with pytest.raises(ValueError, match=r"must (be like|hold no credentials)") as caught:
        FileStore.open(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "address", ["http://key:hunter2@127.0.0.1:1", "hunter2@host", "hunter2:no", "http://"]
)
def test_the_address_of_a_buckets_server_is_an_address_alone(
    s3_away: str, address: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(ValueError, match="AWS_ENDPOINT_URL must") as caught:
        FileStore.open(s3_away)
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_can_not_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="can't be made: Not a directory"):
        FileStore.open((tmp_path / "file" / "folder").as_uri())


KILLED = """
import asyncio, os, sys
from shared.files import PART, FileStore

async def data():
    yield bytes(2 * PART + 1)
    print("written", flush=True)
    await asyncio.Event().wait()

asyncio.run(FileStore.open(sys.argv[1]).put(sys.argv[2], data()))
"""


@pytest.mark.parametrize(("key", "depth"), [("files/a", 1), ("jobs/x/1/a", 2)])
def test_a_process_that_is_killed_leaves_no_half_file(tmp_path: Path, key: str, depth: int):
    command = [sys.executable, "-c", KILLED, tmp_path.as_uri(), key]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"written\n"
        wait_until(lambda: files_in(tmp_path), "a part was written")
        writer.kill()
    asyncio.run(find_and_remove(FileStore.open(tmp_path.as_uri()), key, depth))
    assert not files_in(tmp_path)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def find_and_remove(store: FileStore, key: str, depth: int) -> None:
    with pytest.raises(FileNotFoundError):
        await store.size(key)
    (left,) = await keys(store, key.partition("/")[0], depth)
    await store.delete(left)
    store.close()
