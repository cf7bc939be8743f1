"""Files of an attempt: saved files go to the file store, opened files come from there."""

import asyncio
from hashlib import sha256
from pathlib import Path

import orjson
import pytest

from shared.errors import FinalError, RetryableError
from shared.file_writing import PIECE, Stored
from shared.files import FileStore, artifact_key, upload_key
from worker.files import AttemptFiles

FILE = "file_" + "0" * 32


@pytest.fixture
def attempt(files: FileStore, tmp_path: Path) -> AttemptFiles:
    (tmp_path / "scratch").mkdir()
    return AttemptFiles(files, "a-job", 7, "a-worker", tmp_path / "scratch")


async def content(files: FileStore, key: str) -> bytes:
    return b"".join([piece async for piece in files.read(key, 0, await files.size(key))])


async def test_what_is_saved_is_listed_and_stored_under_the_claim(attempt, files, tmp_path):
    assert attempt.artifacts_json() == b""
    path = tmp_path / "made"
    path.write_bytes(b"from a path")
    sources = {"a.txt": b"bytes", "b": path, "c-1_2.PNG": str(path)}
    for name, data in sources.items():
        await attempt.save(name, data, "text/plain; charset=utf-8")
    for listed, (name, data) in zip(orjson.loads(attempt.artifacts_json()), sources.items(), strict=True):
        wanted = data if isinstance(data, bytes) else b"from a path"
        assert listed == {
            "name": name,
            "content_type": "text/plain; charset=utf-8",
            "size": len(wanted),
            "sha256": sha256(wanted).hexdigest(),
        }
        assert await content(files, artifact_key("a-job", 7, "a-worker", name)) == wanted


async def test_two_workers_with_the_same_fencing_token_keep_their_files_apart(attempt, files, tmp_path):
    other = AttemptFiles(files, "a-job", 7, "another-worker", tmp_path / "scratch")
    await attempt.save("a", b"1", "a/b")
    await other.save("a", b"2", "a/b")
    for made, worker_id in ((attempt, "a-worker"), (other, "another-worker")):
        [listed] = orjson.loads(made.artifacts_json())
        kept = await content(files, artifact_key("a-job", 7, worker_id, "a"))
        assert sha256(kept).hexdigest() == listed["sha256"]


async def test_of_two_of_a_name_the_list_describes_that_which_is_kept(attempt, files, monkeypatch):
    put, writing = files.put, []

    async def alone(key: str, data: bytes) -> Stored:
        writing.append(data)
        stored = await put(key, data)
        assert writing.pop() == data
        return stored

    monkeypatch.setattr(files, "put", alone)
    await asyncio.gather(*(attempt.save("a", data, "a/b") for data in (b"1", b"2")))
    (listed,) = orjson.loads(attempt.artifacts_json())
    assert (
        sha256(await content(files, artifact_key("a-job", 7, "a-worker", "a"))).hexdigest()
        == listed["sha256"]
    )


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../a", "a b", "ü", "a\n", "a\0", "x" * 129, "-a", "a#1"]
)
async def test_a_name_that_is_none_fails_the_job(attempt, name):
    with pytest.raises(FinalError, match="the name of an artifact") as caught:
        await attempt.save(name, b"", "a/b")
    assert (caught.value.code, "letters" in caught.value.hint) == ("invalid_artifact", True)


@pytest.mark.parametrize("content_type", ["", "text", "a/b\r\nX: y", "a/b; ü", "/", "a/b;" + "x" * 200])
async def test_a_type_that_is_none_fails_the_job(attempt, content_type):
    with pytest.raises(FinalError, match="not a media type"):
        await attempt.save("a", b"", content_type)


async def test_an_attempt_saves_a_bounded_number(attempt, monkeypatch):
    monkeypatch.setattr("worker.files.MAX_ARTIFACTS", 1)
    await attempt.save("a", b"1", "a/b")
    await attempt.save("a", b"2", "a/b")
    with pytest.raises(FinalError, match="may save 1"):
        await attempt.save("b", b"", "a/b")


@pytest.mark.parametrize("size", [0, 1, 2 * PIECE + 1])
async def test_an_input_is_opened_and_is_gone_with_the_attempt(attempt, files, tmp_path, size):
    await files.put(upload_key(FILE), b"x" * size)
    path, again = await asyncio.gather(attempt.open_input(FILE), attempt.open_input(FILE))
    assert path == again
    assert path.read_bytes() == b"x" * size
    await attempt.close()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert await files.size(upload_key(FILE)) == size


async def test_an_input_is_fetched_once(attempt, files):
    await files.put(upload_key(FILE), b"1")
    path = await attempt.open_input(FILE)
    await files.delete(upload_key(FILE))
    assert await attempt.open_input(FILE) == path


async def test_no_handler_changes_the_stored_file(attempt, files):
    """Not even as root, who may write to read-only files at the path that a handler gets."""
    await files.put(upload_key(FILE), b"as it was uploaded")
    path = await attempt.open_input(FILE)
    assert path.stat().st_mode & 0o777 == 0o400
    path.chmod(0o600)
    path.write_bytes(b"changed")
    path.unlink()
    (path.parent / FILE).write_bytes(b"in its place")
    assert await content(files, upload_key(FILE)) == b"as it was uploaded"


async def test_an_attempt_that_is_stopped_leaves_no_half_copy(attempt, files, tmp_path, monkeypatch):
    monkeypatch.setattr("worker.files.COPIED_AT_ONCE", 1)
    await files.put(upload_key(FILE), bytes(PIECE * 3))
    opening = asyncio.create_task(attempt.open_input(FILE))
    while not [path for path in (tmp_path / "scratch").rglob("*.part") if path.stat().st_size]:
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await attempt.close()
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("reference", [FILE, "../../etc/passwd", "", "jobs/a/1/b"])
async def test_an_input_that_is_not_there_fails_the_job(attempt, reference):
    with pytest.raises(FinalError) as caught:
        await attempt.open_input(reference)
    assert (caught.value.code, caught.value.retryable) == ("file_not_found", False)


async def test_a_store_that_is_away_lets_the_job_be_tried_again(s3_away, tmp_path):
    attempt = AttemptFiles(FileStore.open(s3_away), "a-job", 1, "a-worker", tmp_path)
    for call in (attempt.save("a", b"1", "a/b"), attempt.open_input(FILE)):
        with pytest.raises(RetryableError, match="does not answer") as caught:
            await call
        assert (caught.value.code, caught.value.retryable) == ("storage_unavailable", True)
    assert attempt.artifacts_json() == b""
