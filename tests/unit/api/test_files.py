"""Uploaded files: stored whole or not at all, and kept while a job needs them."""

import asyncio
import re
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from api.upload import RATE_SECONDS
from shared.file_writing import PIECE
from shared.job_type import FILE_ID
from shared.store.job_leases import Finished, Outcome, OutcomeKind
from tests.unit.api.reading_jobs import READ, refused, submit, upload

LIMIT = 3 * PIECE
BOUNDARY = "a-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
async def client(serve, fake_redis, folder, monkeypatch):
    """A client of an API with small limits, and a job type that reads files."""
    monkeypatch.setattr("api.configuration.load_job_types", lambda _: {"read": READ})
    return await serve(fake_redis, artifacts_url=folder.as_uri(), api_max_file_bytes=LIMIT, retain_files=100)


async def chunked(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65_536):
        yield data[start : start + 65_536]


def form(*parts: tuple[str, bytes], end: str = "--") -> bytes:
    """A form of parts, each with its headers."""
    lines = [f"--{BOUNDARY}\r\n{headers}\r\n\r\n".encode() + data + b"\r\n" for headers, data in parts]
    return b"".join(lines) + f"--{BOUNDARY}{end}\r\n".encode()


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# -- uploads


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("size", [0, 1, PIECE, LIMIT])
async def test_a_body_is_stored_and_described(client, folder, prefix, size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    headers = {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": 'attachment; filename="a b.csv"',
    }
    answer = await client.post(f"{prefix}/files", content=chunked(data), headers=headers)
    assert answer.status_code == 201
    file = answer.json()
    assert re.fullmatch(FILE_ID, file["file_id"])
    assert answer.headers["location"] == f"{prefix}/files/{file['file_id']}"
    assert (file["name"], file["content_type"]) == ("a b.csv", "text/csv; charset=utf-8")
    assert (file["size"], file["sha256"]) == (size, sha256(data).hexdigest())
    assert (folder / "files" / file["file_id"]).read_bytes() == data
    assert (await client.get(answer.headers["location"])).json() == file


async def test_a_form_brings_one_file(client, folder):
    data = b"\r\n--a-boundar\r\n--" * 100_000
    answer = await client.post("/files", files={"anything": ("ü.bin", data, "image/png")})
    assert answer.status_code == 201
    file = answer.json()
    assert (file["name"], file["content_type"], file["size"]) == ("ü.bin", "image/png", len(data))
    assert (folder / "files" / file["file_id"]).read_bytes() == data


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("", None), ("attachment", None), ("attachment; filename=", None), ("inline; filename=a.b", "a.b"),
        ('attachment; filename="../../etc/passwd"', "passwd"), ('attachment; filename="a\tb\x7f"', "ab"),
        (r'attachment; filename="C:\\a\\b.txt"', "b.txt"), ("attachment; filename=" + "x" * 300, "x" * 255),
        ("attachment; filename=plain; filename*=UTF-8''%e2%82%ac%2Fx", "x"),
        ("attachment; filename*=utf-8'en'%e2%82%ac.txt", "€.txt"),
        ("attachment; filename*=iso-8859-1''%e9.txt; x=y", "é.txt"),
        ("attachment; filename*=\"UTF-8''a%20b.txt\"", "a b.txt"),
        ("attachment; filename*=utf-9''a; filename=b", "b"),
        ("attachment; filename=\"a; filename*=utf-8''b\"", "a; filename*=utf-8''b"),
        ("attachment; filename*=utf-8''%ff%00", "�"),
    ],
)  # fmt: skip
async def test_only_the_name_of_a_name_is_kept(client, disposition, name):
    answer = await client.post("/files", content=b"1", headers={"Content-Disposition": disposition})
    assert answer.json()["name"] == name
    assert answer.json()["content_type"] == "application/octet-stream"


PART = 'Content-Disposition: form-data; name="file"; filename="a.txt"'


NAMED = f"--{BOUNDARY}\r\n{PART}\r\n"


@pytest.mark.parametrize(
    "body",
    [
        "This is a form.\r\n" + NAMED + "\r\n1\r\n--a-boundary--",
        "x" * 200_000
        + f"--{BOUNDARY} is its boundary\r\n--{BOUNDARY}x\r\n"
        + NAMED
        + "\r\n1\r\n--a-boundary--",
        "\r\n\r\n" + NAMED + "\r\n1\r\n--a-boundary--\r\n",
        "\n" + NAMED + "\r\n1\r\n--a-boundary--",
        NAMED.replace("boundary", "boundary \t") + "\r\n1\r\n--a-boundary--",
        NAMED + "\r\n1\r\n--a-boundary--\r\nAn epilogue\r\n--a-boundary\r\n",
        NAMED + "Content-Transfer-Encoding: Binary\r\n\r\n1\r\n--a-boundary--",
        NAMED.replace("filename=", "FileName=") + "\r\n1\r\n--a-boundary--",
        NAMED.lower() + "\r\n1\r\n--a-boundary--",
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
async def test_a_form_is_read_as_foreign_clients_write_it(client, folder, body, piece):
    if len(body) > 10_000 and piece < 100:
        piece *= 1000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece].encode()

    answer = await client.post("/files", content=pieces(), headers=FORM)
    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert (file["name"], (folder / "files" / file["file_id"]).read_bytes()) == ("a.txt", b"1")


async def test_a_form_may_name_its_file_by_the_extended_parameter_alone(client):
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    body = (
        b"--XX\r\nContent-Disposition: form-data; name=file; filename*=UTF-8''na%C3%AFve.csv\r\n"
        b"Content-Type: text/csv\r\n\r\na,b\n1,2\n\r\n--XX--\r\n"
    )
    answer = await client.post("/files", content=body, headers=headers)
    assert answer.status_code == 201
    file = answer.json()
    assert (file["name"], file["content_type"], file["size"]) == ("naïve.csv", "text/csv", 8)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("text/csv;", "text/csv"), ("text/csv ; ", "text/csv"),
        ("text/csv;;charset=utf-8;", "text/csv; charset=utf-8"),
        ("text/csv\t; charset=utf-8", "text/csv; charset=utf-8"), ('Text/CSV; x="a;b"', 'Text/CSV; x="a;b"'),
        ("text/csv;charset=utf-8", "text/csv; charset=utf-8"), ("", "application/octet-stream"),
    ],
)  # fmt: skip
async def test_a_media_type_is_read_by_its_grammar(client, given, kept):
    body = form((f"{PART}\r\nContent-Type: {given}", b"1"))
    for content, headers in ((body, FORM), (b"1", {"Content-Type": given})):
        answer = await client.post("/files", content=content, headers=headers)
        assert (answer.status_code, answer.json().get("content_type")) == (201, kept), answer.text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "begins no line"),
        (b"--a-boundaryx\r\n" + form((PART, b"1"))[14:], "holds no file"),
        (form((PART + "\r\nContent-Transfer-Encoding: base64", b"1")), "'base64'"),
        (form(("Content-Disposition: form-data; name=a; x=\"filename*=utf-8''b\"", b"1")), "no filename"),
        (f"--{BOUNDARY}--\r\n".encode(), "holds no file"),
        (form((PART, b"1"), (PART, b"2")), "more than one part"),
        (form(('Content-Disposition: form-data; name="text"', b"1")), "no filename"),
        (form(("X: y", b"1")), "no filename"),
        (form((PART + "\r\nContent-Type: nonsense", b"1")), "no media type"),
        (form((PART, b"1"), end="")[:-4], "ends before its last boundary"),
        (form((PART, b"1" * PIECE * 2))[:-10], "ends before its last boundary"),
        (b"no boundary at all", "malformed"),
        (form((PART + "\r\nX: " + "y" * 10_000, b"1")), "malformed"),
    ],
)  # fmt: skip
async def test_a_form_that_is_not_one_file_leaves_nothing(client, folder, fake_redis, body, message):
    answer = refused(await client.post("/files", content=body, headers=FORM), 422, "invalid_request")
    assert message in answer["message"]
    assert "curl" in answer["hint"]
    assert answer["details"]
    assert stored(folder) == []
    assert await fake_redis.keys() in ([], [b"jobs:upkeep"])


@pytest.mark.parametrize("name", ["Content-Type", "Content-Disposition"])
async def test_a_long_header_is_not_parsed(client, folder, name):
    answer = await client.post("/files", content=b"1", headers={name: "text/plain" + ";" * 60_000})
    assert refused(answer, 422, "invalid_request")["details"][0]["path"] == name
    answer = await client.post("/files", content=form((f"{name}: x{';' * 60_000}", b"1")), headers=FORM)
    refused(answer, 422, "invalid_request")
    assert stored(folder) == []


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "x" * 300])
async def test_a_form_needs_a_boundary(client, boundary):
    headers = {"Content-Type": "multipart/form-data" + boundary}
    refused(await client.post("/files", content=b"--x--", headers=headers), 422, "invalid_request")


async def test_a_content_type_must_be_one(client):
    answer = await client.post("/files", content=b"1", headers={"Content-Type": "nonsense"})
    assert refused(answer, 422, "invalid_request")["details"][0]["path"] == "Content-Type"


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_beyond_the_limit_leaves_nothing(client, folder, announced):
    data = bytes(LIMIT + 1)
    answer = await client.post("/files", content=data if announced else chunked(data))
    refused(answer, 413, "payload_too_large")
    assert stored(folder) == []


async def test_the_limit_of_files_is_for_files_alone(client):
    refused(await client.post("/jobs", content=bytes(LIMIT - 1)), 413, "payload_too_large")


async def upload_from(client: Any, receive: Any) -> dict[str, Any]:
    """The start of the answer to an upload whose body `receive` brings."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/files",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": None,
    }
    await client._transport.app(scope, receive, send)
    return sent[0]


async def test_a_client_that_leaves_leaves_nothing(client, folder):
    messages = [{"type": "http.request", "body": bytes(2 * PIECE), "more_body": True}]
    messages += [{"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    assert (await upload_from(client, receive))["status"] == 499
    assert stored(folder) == []


@pytest.mark.parametrize("pause", [0.01, None])
async def test_a_client_that_is_too_slow_is_refused_and_leaves_nothing(client, folder, pause, monkeypatch):
    monkeypatch.setattr("api.upload.RATE_SECONDS", 0.1)
    first = [{"type": "http.request", "body": bytes(2 * PIECE), "more_body": True}]

    async def receive() -> dict[str, Any]:
        """Much at first, then a byte now and then, or none."""
        if first:
            return first.pop()
        await (asyncio.sleep(pause) if pause else asyncio.Event().wait())
        return {"type": "http.request", "body": b"1", "more_body": True}

    answer = await upload_from(client, receive)
    assert answer["status"] == 408
    assert (b"connection", b"close") in answer["headers"]
    assert stored(folder) == []


async def test_a_client_may_be_slow_for_long_if_it_keeps_the_least_rate(client, folder, monkeypatch):
    """Each piece takes 25 s of the event loop's clock, which the test moves; every third wait is cut off."""
    loop, moved, left = asyncio.get_running_loop(), 0.0, 12
    clock = loop.time

    async def receive() -> dict[str, Any]:
        nonlocal moved, left
        moved += 25
        for _ in range(3):  # the loop looks at its timers
            await asyncio.sleep(0)
        left -= 1
        return {"type": "http.request", "body": bytes(30_000), "more_body": left > 0}

    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: clock() + moved)
        assert (await upload_from(client, receive))["status"] == 201
    assert moved > 5 * RATE_SECONDS
    assert [path.stat().st_size for path in stored(folder)] == [360_000]


async def test_a_store_that_is_away(serve, fake_redis, s3_away):
    client = await serve(fake_redis, artifacts_url=s3_away)
    answer = await client.post("/files", content=b"1")
    refused(answer, 503, "storage_unavailable")
    assert answer.headers["retry-after"] == "5"
    assert await fake_redis.keys() in ([], [b"jobs:upkeep"])


async def test_a_redis_that_is_away(lonely_client):
    refused(await lonely_client.post("/files", content=b"1"), 503, "queue_unavailable")


# -- records


@pytest.mark.parametrize("file_id", ["x", "file_", "file_" + "0" * 32, "file_" + "0" * 32 + ":jobs", "%00"])
async def test_a_file_that_is_not_there(client, file_id):
    refused(await client.get(f"/files/{file_id}"), 404, "file_not_found")
    refused(await client.delete(f"/v1/files/{file_id}"), 404, "file_not_found")


async def test_a_deleted_file_is_gone(client, folder, fake_redis):
    file_id = await upload(client)
    answer = await client.delete(f"/files/{file_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    refused(await client.get(f"/files/{file_id}"), 404, "file_not_found")
    assert stored(folder) == []
    assert await fake_redis.keys() in ([], [b"jobs:upkeep"])


async def test_a_file_is_in_use_until_its_jobs_are_done(client, worker):
    file_id = await upload(client)
    job_id = (await submit(client, first=file_id)).json()["job_id"]
    assert job_id in refused(await client.delete(f"/files/{file_id}"), 409, "file_in_use")["message"]
    claim = await worker.claim_one()
    refused(await client.delete(f"/files/{file_id}"), 409, "file_in_use")
    await worker.step(Finished(claim, Outcome(OutcomeKind.COMPLETED, b"1")))
    assert (await client.delete(f"/files/{file_id}")).status_code == 204
