"""Artifacts: read whole, in part or conditionally, and harmless in a browser."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256

import orjson
import pytest

from shared.file_writing import PIECE
from shared.files import FileStore, artifact_key, older_artifact_key
from shared.store import redis_keys
from shared.store.job_leases import OutcomeKind

ECHO = {"type": "echo", "params": {"message": "hi"}}
TEXT = b"0123456789"
TAG = f'"{sha256(TEXT).hexdigest()}"'


@pytest.fixture
async def job_id(client, worker) -> str:
    job_id = (await client.post("/jobs", json=ECHO)).json()["job_id"]
    await worker.finish_next(OutcomeKind.COMPLETED, 1)
    return job_id


@pytest.fixture
def add(job_id, files: FileStore, fake_redis, worker):
    """Add an artifact to the job, as its worker does."""

    async def add(name: str, data: bytes, content_type: str = "text/plain") -> str:
        size, digest = await files.put(artifact_key(job_id, 1, worker.name, name), data)
        artifact = {"name": name, "content_type": content_type, "size": size, "sha256": digest}
        await fake_redis.hset(redis_keys.RECORD + job_id, "artifacts", orjson.dumps([artifact]))
        return f"/jobs/{job_id}/artifacts/{name}"

    return add


@pytest.fixture
async def url(add) -> str:
    return await add("out.txt", TEXT)


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_the_record_leads_to_its_artifacts_by_the_prefix_that_was_asked(client, job_id, url, prefix):
    wanted = {
        "name": "out.txt",
        "content_type": "text/plain",
        "size": 10,
        "sha256": sha256(TEXT).hexdigest(),
        "url": f"{prefix}/jobs/{job_id}/artifacts/out.txt",
    }
    (listed,) = (await client.get(f"{prefix}/jobs")).json()["items"]
    for record in (listed, (await client.get(f"{prefix}/jobs/{job_id}")).json()):
        assert record["artifacts"] == [wanted]
    assert (await client.get(wanted["url"])).content == TEXT


@pytest.mark.parametrize("size", [0, 10, PIECE, 2 * PIECE + 1])
async def test_the_whole_is_sent_with_its_type_name_and_size(client, add, size):
    data = b"x" * size
    url = await add("a.html", data, "text/html")
    answer = await client.get(url)
    assert (answer.status_code, answer.content) == (200, data)
    wanted = {
        "accept-ranges": "bytes",
        "content-disposition": 'attachment; filename="a.html"',
        "content-length": str(size),
        "content-security-policy": "sandbox",
        "content-type": "text/html",
        "etag": f'"{sha256(data).hexdigest()}"',
        "x-content-type-options": "nosniff",
    }
    assert wanted.items() <= dict(answer.headers).items()
    head = await client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert wanted.items() <= dict(head.headers).items()


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1), ("bytes=0-9", 0, 10), ("bytes=3-5", 3, 6), ("bytes=3-", 3, 10),
        ("bytes=-3", 7, 10), ("bytes=-99", 0, 10), ("bytes=9-99", 9, 10), ("Bytes=0-0", 0, 1),
        ("bytes=0-99999999999999999999", 0, 10), ("bytes=-" + "9" * 999, 0, 10), ("bytes=0-0, ,", 0, 1),
    ],
)  # fmt: skip
async def test_a_part_is_sent(client, url, asked, start, end):
    answer = await client.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, TEXT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/10"
    assert answer.headers["content-length"] == str(end - start)


async def test_a_part_may_go_over_the_pieces_of_the_store(client, add):
    data = bytes(range(256)) * (PIECE // 128)
    url = await add("a", data)
    answer = await client.get(url, headers={"Range": f"bytes={PIECE - 3}-{PIECE + 3}"})
    assert answer.content == data[PIECE - 3 : PIECE + 4]


@pytest.mark.parametrize(
    "asked", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=999999999999999-", "bytes=99999999999999999999-"]
)
async def test_a_part_that_is_not_there(client, url, asked):
    answer = await client.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */10"


async def test_nothing_has_no_parts(client, add):
    assert (await client.get(await add("a", b""), headers={"Range": "bytes=0-"})).status_code == 416


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,3-4", "bytes=-", "bytes=5-3", "bytes", "lines=0-1", "bytes=a-b", "bytes=²-3", ""]
)
async def test_a_range_of_several_parts_gets_the_whole(client, url, asked):
    answer = await client.get(url, headers={"Range": asked.encode()})
    assert (answer.status_code, answer.content) == (200, TEXT)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize(
    ("condition", "status"),
    [(TAG, 206), ('"other"', 200), (f"W/{TAG}", 200), ("Wed, 21 Oct 2015 07:28:00 GMT", 200)],
)
async def test_a_part_is_sent_only_if_if_range_names_the_etag(client, url, condition, status):
    answer = await client.get(url, headers={"Range": "bytes=0-1", "If-Range": condition})
    assert answer.status_code == status


async def test_the_head_has_no_parts(client, url):
    answer = await client.head(url, headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.headers["content-length"]) == (200, "10")


@pytest.mark.parametrize("tags", [TAG, f'"a", {TAG}', f"W/{TAG}", "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_known_artifact_is_not_sent_again(client, url, tags, method):
    headers = {"If-None-Match": tags, "Range": "bytes=0-1"}
    answer = await client.request(method, url, headers=headers)
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", TAG)


@pytest.mark.parametrize("tags", ['"other"', TAG.strip('"'), TAG[:-1], f'"x{TAG[1:]}', ""])
async def test_an_unknown_artifact_is_sent(client, url, tags):
    assert (await client.get(url, headers={"If-None-Match": tags})).status_code == 200


async def test_all_lines_of_tags_are_read(client, url):
    answer = await client.get(url, headers=[("If-None-Match", '"other"'), ("If-None-Match", TAG)])
    assert answer.status_code == 304


@pytest.mark.parametrize(
    ("tags", "status"), [(TAG, 200), ("*", 200), (f'"a", {TAG}', 200), (f"W/{TAG}", 412), ('"other"', 412)]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_file_is_compared_strongly(client, url, tags, status, method):
    answer = await client.request(method, url, headers={"If-Match": tags})
    assert answer.status_code == status
    if method == "GET" and status == 412:
        assert answer.json()["code"] == "precondition_failed"


async def test_two_ranges_are_none(client, url):
    answer = await client.get(url, headers=[("Range", "bytes=0-1"), ("Range", "bytes=2-3")])
    assert (answer.status_code, answer.json()["details"][0]["path"]) == (422, "Range")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("other.txt", "artifact_not_found"), ("%2e%2e", "artifact_not_found"), ("%2e%2e%2fa", "not_found"),
        ("%2Fetc%2Fpasswd", "not_found"), ("out.txt%00", "artifact_not_found"), ("%ff", "artifact_not_found"),
        ("..%5cout.txt", "artifact_not_found"), ("out.txt%231", "artifact_not_found"),
    ],
)  # fmt: skip
async def test_only_artifacts_that_the_record_names_are_read(client, url, name, code, monkeypatch):
    def read(*_: object) -> None:
        raise AssertionError("the store was asked")

    for method in ("read", "size"):
        monkeypatch.setattr(FileStore, method, read)
    answer = await client.get(url.replace("out.txt", name))
    assert (answer.status_code, answer.json()["code"]) == (404, code)


async def test_a_job_without_artifacts_has_none(client, job_id):
    answer = await client.get(f"/jobs/{job_id}/artifacts/out.txt")
    assert (answer.status_code, answer.json()["code"]) == (404, "artifact_not_found")
    answer = await client.get("/jobs/nobody/artifacts/out.txt")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


async def test_an_artifact_of_an_older_worker_is_found(client, job_id, url, files, worker):
    await files.delete(artifact_key(job_id, 1, worker.name, "out.txt"))
    await files.put(older_artifact_key(job_id, 1, "out.txt"), TEXT)
    assert (await client.get(url)).content == TEXT
    assert (await client.head(url)).headers["content-length"] == "10"


async def test_an_artifact_of_another_worker_with_the_same_fencing_token_is_not_shown(
    client, job_id, url, files, worker
):
    await files.put(artifact_key(job_id, 1, "another", "out.txt"), b"of a claim that a fail-over has lost")
    assert (await client.get(url)).content == TEXT
    await files.delete(artifact_key(job_id, 1, worker.name, "out.txt"))
    assert (await client.get(url)).status_code == 404


async def test_a_file_that_was_swept_is_not_found(client, job_id, url, files, worker):
    await files.delete(artifact_key(job_id, 1, worker.name, "out.txt"))
    for method in ("GET", "HEAD"):
        assert (await client.request(method, url)).status_code == 404


async def test_a_store_that_is_away(serve, fake_redis, url, s3_away):
    client = await serve(fake_redis, artifacts_url=s3_away)
    for method in ("GET", "HEAD"):
        answer = await client.request(method, url)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert (await client.get(url)).json()["code"] == "storage_unavailable"


async def test_a_reader_who_leaves_is_read_for_no_more(client, add, files, monkeypatch):
    url, read, left = await add("a", bytes(50 * PIECE)), [], asyncio.Event()
    original = FileStore.read

    async def counted(*arguments: object) -> AsyncIterator[bytes]:
        async for piece in original(*arguments):
            read.append(len(piece))
            if len(read) == 2:
                left.set()
                await asyncio.Event().wait()
            yield piece

    monkeypatch.setattr(FileStore, "read", counted)
    app = client._transport.app

    async def receive() -> dict[str, str]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": url,
        "headers": [(b"host", b"localhost")],
        "query_string": b"",
        "client": None,
    }
    await asyncio.wait_for(app(scope, receive, send), 5)
    assert len(read) == 2
