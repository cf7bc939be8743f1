"""Compression of answers, for clients that accept gzip, where it saves bytes."""

import gzip
import zlib

import pytest

from api.middleware import compression
from api.middleware.compression import Compression, accepts_gzip
from api.middleware.large_answers import LargeAnswers
from shared.files import FileStore, artifact_key
from shared.store import redis_keys
from shared.store.job_leases import OutcomeKind

GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}
LARGE = {"type": "echo", "params": {"message": "hi " * 1000}}


@pytest.mark.parametrize(
    ("accepted", "gzipped"),
    [
        ("gzip", True), ("GZIP", True), ("x-gzip", True), ("br, gzip", True), ("gzip;q=0.5", True),
        ("*", True), ("gzip; q=0", False), ("gzip;q=0.000, *", False), ("*;q=0, gzip", True),
        ("*;q=0", False), ("", False),
        ("identity", False), ("br", False), ("gzipped", False), ("deflate", False), ("gzip;Q=0", False),
        ('x="gzip, gzip"', False), (",;,", False), ("gzip;q=0.001", True),
    ],
)  # fmt: skip
def test_a_client_says_whether_it_reads_gzip(accepted, gzipped):
    assert accepts_gzip(accepted.encode()) is gzipped


@pytest.fixture
async def url(client) -> str:
    return f"/v1/jobs/{(await client.post('/jobs', json=LARGE)).json()['job_id']}"


async def test_a_large_answer_is_compressed(client, url):
    plain, coded = await client.get(url, headers=PLAIN), await client.get(url, headers=GZIP)
    assert coded.json() == plain.json()
    assert coded.headers["content-encoding"] == "gzip"
    assert coded.headers["vary"] == "Accept-Encoding"
    assert int(coded.headers["content-length"]) < len(plain.content) / 5
    assert coded.headers["etag"] == plain.headers["etag"]
    assert "content-encoding" not in plain.headers
    head = await client.head(url, headers=GZIP)
    assert (head.content, head.headers["content-length"]) == (b"", coded.headers["content-length"])


async def test_its_tag_is_known_in_any_coding(client, url):
    tag = (await client.get(url, headers=GZIP)).headers["etag"]
    for headers in (GZIP, PLAIN):
        answer = await client.get(url, headers=headers | {"If-None-Match": tag})
        assert (answer.status_code, answer.headers["etag"]) == (304, tag)
        assert "content-encoding" not in answer.headers


async def test_all_lines_of_accept_encoding_count(client, url):
    answer = await client.get(url, headers=[("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")])
    assert answer.headers["content-encoding"] == "gzip"


async def test_a_list_without_an_end_asks_for_nothing(client, url):
    answer = await client.get(url, headers={"Accept-Encoding": "gzip," * 1000})
    assert "content-encoding" not in answer.headers


async def test_a_small_answer_is_not_compressed(client):
    for answer in (await client.get("/healthz", headers=GZIP), await client.get("/jobs/x", headers=GZIP)):
        assert "content-encoding" not in answer.headers
        assert answer.headers["content-length"] == str(len(answer.content))


async def test_answers_in_ranges_are_not_compressed(client, worker, files: FileStore, fake_redis):
    job_id = (await client.post("/jobs", json=LARGE)).json()["job_id"]
    await worker.finish_next(OutcomeKind.COMPLETED, 1)
    size, digest = await files.put(artifact_key(job_id, 1, worker.name, "a"), bytes(5000))
    artifact = b'[{"name":"a","content_type":"text/plain","size":%d,"sha256":"%b"}]' % (size, digest.encode())
    await fake_redis.hset(redis_keys.RECORD + job_id, "artifacts", artifact)
    for headers in ({}, {"Range": "bytes=0-3000"}):
        answer = await client.get(f"/jobs/{job_id}/artifacts/a", headers=GZIP | headers)
        assert answer.status_code in (200, 206)
        assert "content-encoding" not in answer.headers
        assert answer.headers["content-length"] == str(len(answer.content))


async def test_a_large_answer_counts_with_the_bytes_that_are_held(client, monkeypatch):
    sizes = []

    def has_room(_: LargeAnswers, size: int) -> bool:
        sizes.append(size)
        return True

    monkeypatch.setattr(LargeAnswers, "has_room", has_room)
    job = {"type": "echo", "params": {"message": "x" * 500_000}}
    answer = await client.post("/jobs", json=job, headers=GZIP)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["params"] == job["params"]
    assert min(sizes) > 500_000


def messages(*bodies: bytes, content_type: bytes = b"application/json"):
    """The messages of an application that answers with these pieces."""
    scope = {"type": "http", "headers": [(b"accept-encoding", b"gzip")]}
    sent = []

    async def app(_, __, send):
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]}
        )
        for n, body in enumerate(bodies, 1):
            await send({"type": "http.response.body", "body": body, "more_body": n < len(bodies)})

    async def send(message):
        sent.append(message)

    return Compression(app), scope, sent, send


async def test_a_stream_of_events_is_not_compressed():
    app, scope, sent, send = messages(b"data: 1\n\n" * 1000, b"", content_type=b"text/event-stream")
    await app(scope, None, send)
    assert [message.get("body") for message in sent[1:]] == [b"data: 1\n\n" * 1000, b""]
    assert sent[0]["headers"] == [(b"content-type", b"text/event-stream")]


async def test_an_answer_in_pieces_is_one_stream():
    app, scope, sent, send = messages(b"a" * 100, b"b" * 100_000, b"c")
    await app(scope, None, send)
    coded = b"".join(message["body"] for message in sent[1:])
    assert gzip.decompress(coded) == b"a" * 100 + b"b" * 100_000 + b"c"


async def test_a_large_body_is_compressed_beside_the_event_loop(monkeypatch):
    app, scope, sent, send = messages(b"x" * (compression.MAX_ON_LOOP + 1))
    at = []

    async def run_sync(function, *arguments, **options):
        at.append(function.__name__)
        return function(*arguments)

    monkeypatch.setattr("anyio.to_thread.run_sync", run_sync)
    await app(scope, None, send)
    assert len(at) == 1
    assert len(zlib.decompress(sent[1]["body"], 31)) == compression.MAX_ON_LOOP + 1
