"""Uploads and downloads, over connections that break; the same for both faces."""

import io
import os
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from client import DamagedDownload, File, Job, JobServerError, NotFound, Retries, ServerUnreachable
from client.transport import UPLOAD_CHUNK as CHUNK
from tests.unit.client.fake_server import (
    JOB_ID,
    Broken,
    Clock,
    FakeServer,
    connect,
    error_response,
    job_response,
    record,
)

Open = Callable[..., Any]
FILE_ID = "file_019ab1c27d107c4e9a553f5b8f0e6d21"
FILE = {
    "file_id": FILE_ID,
    "name": "data.csv",
    "content_type": "text/csv",
    "size": 3,
    "sha256": sha256(b"a,b").hexdigest(),
    "created_at": "2026-01-01T12:00:00.000000Z",
    "expires_at": "2026-01-02T12:00:00.000000Z",
}
LARGE = os.urandom(CHUNK) * 3 + b"end"
REFUSED = httpx.ConnectError("Connection refused")
pytestmark = pytest.mark.usefixtures("clock")


class ChunkTransport(httpx.MockTransport):
    """Transport that passes bodies of requests to a server chunk by chunk, and breaks the first ones.

    Attributes:
        bodies: the chunks of each.
    """

    def __init__(self, server: FakeServer, *, breaks: int = 0) -> None:
        super().__init__(server)
        self.server = server
        self.bodies: list[list[bytes]] = []
        self._breaks = breaks

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.bodies.append([])
        for chunk in request.stream:
            self._take(chunk)
        return self.server(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self.bodies.append([])
        async for chunk in request.stream:
            self._take(chunk)
        return self.server(request)

    def _take(self, chunk: bytes) -> None:
        self.bodies[-1].append(chunk)
        if self._breaks:
            self._breaks -= 1
            raise httpx.WriteError("the connection broke")


def file_response() -> httpx.Response:
    return httpx.Response(201, json=FILE)


# -- uploads


async def test_a_file_on_disk_is_sent_as_it_is_read(face: Open, tmp_path: Path):
    (tmp_path / "großes Bild.png").write_bytes(LARGE)
    transport = ChunkTransport(FakeServer(file_response()))
    file = await face(transport).upload(tmp_path / "großes Bild.png")
    assert list(map(len, transport.bodies[0])) == [CHUNK, CHUNK, CHUNK, 3]
    assert b"".join(transport.bodies[0]) == LARGE
    request = transport.server.request
    assert (request.method, request.url.path) == ("POST", "/v1/files")
    assert request.headers["Content-Length"] == str(len(LARGE))
    assert request.headers["Content-Type"] == "image/png"
    assert request.headers["Content-Disposition"] == "attachment; filename*=UTF-8''gro%C3%9Fes%20Bild.png"
    assert "Transfer-Encoding" not in request.headers
    assert (file.file_id, file.name, file.size) == (FILE_ID, "data.csv", 3)
    assert file.expires_at == datetime(2026, 1, 2, 12, tzinfo=UTC)


async def test_bytes_have_no_name_and_no_type_unless_given(face: Open):
    server = FakeServer(file_response(), file_response())
    client = face(server)
    await client.upload(b"a,b")
    await client.upload(b"a,b", "data.csv", "text/plain")
    plain, named = server.requests
    assert (plain.content, plain.headers["Content-Type"]) == (b"a,b", "application/octet-stream")
    assert "Content-Disposition" not in plain.headers
    assert (named.headers["Content-Type"], named.headers["Content-Disposition"]) == (
        "text/plain",
        "attachment; filename*=UTF-8''data.csv",
    )


async def test_an_open_file_is_sent_from_where_it_stands_and_stays_open(face: Open, tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"read, unread")
    server = FakeServer(file_response())
    with (tmp_path / "a.txt").open("rb") as file:
        file.seek(6)
        await face(server).upload(file)
        assert not file.closed
    assert server.request.content == b"unread"
    assert server.request.headers["Content-Length"] == "6"
    assert server.request.headers["Content-Disposition"].endswith("a.txt")


@pytest.mark.parametrize("source", [io.BytesIO(LARGE), LARGE])
async def test_a_broken_upload_begins_again(face: Open, source: Any):
    transport = ChunkTransport(
        FakeServer(error_response(503, "queue_unavailable"), file_response()), breaks=2
    )
    if isinstance(source, io.BytesIO):
        source.seek(0)
    await face(transport).upload(source)
    assert [len(b"".join(body)) for body in transport.bodies] == [CHUNK, CHUNK, len(LARGE), len(LARGE)]
    assert b"".join(transport.bodies[-1]) == LARGE


async def test_a_pipe_is_sent_once(face: Open, clock: Clock):
    server = FakeServer(file_response())
    for breaks in (0, 1):
        source, sink = os.pipe()
        os.write(sink, b"piped")
        os.close(sink)
        transport = ChunkTransport(server, breaks=breaks)
        with os.fdopen(source, "rb") as file:
            if breaks:
                with pytest.raises(ServerUnreachable):
                    await face(transport).upload(file)
            else:
                await face(transport).upload(file)
        assert transport.bodies == [[b"piped"]]
    assert server.request.headers["Transfer-Encoding"] == "chunked"
    assert clock.pauses == []


async def test_an_unreadable_source_raises_its_own_error(face: Open, tmp_path: Path):
    client = face(FakeServer())
    with pytest.raises(FileNotFoundError):
        await client.upload(tmp_path / "missing")
    (tmp_path / "a.txt").write_text("text")
    with (tmp_path / "a.txt").open() as file, pytest.raises(TypeError, match='with the mode "rb"'):
        await client.upload(file)


async def test_a_file_stands_for_its_id_in_params(face: Open):
    server = FakeServer(job_response(status=202))
    file = File.from_record(FILE)
    await face(server).submit("thumbnail", {"file": file, "more": [{"mask": file}, (1, None)]})
    (body,) = server.bodies()
    assert body["params"] == {"file": FILE_ID, "more": [{"mask": FILE_ID}, [1, None]]}


async def test_a_file_is_fetched_and_deleted(face: Open):
    server = FakeServer(
        httpx.Response(200, json=FILE), httpx.Response(204), error_response(409, "file_in_use")
    )
    client = face(server)
    file = await client.file(FILE_ID)
    assert await client.delete_file(file) is None
    with pytest.raises(JobServerError, match="file_in_use"):
        await client.delete_file(FILE_ID)
    assert [(request.method, request.url.path) for request in server.requests] == [
        ("GET", f"/v1/files/{FILE_ID}"),
        ("DELETE", f"/v1/files/{FILE_ID}"),
        ("DELETE", f"/v1/files/{FILE_ID}"),
    ]


async def test_a_missing_file_is_not_found(face: Open):
    with pytest.raises(NotFound, match="file_not_found"):
        await face(FakeServer(error_response(404, "file_not_found"))).file(FILE_ID)


# -- artifacts

ARTIFACT = {
    "name": "out.bin",
    "content_type": "application/octet-stream",
    "size": len(LARGE),
    "sha256": sha256(LARGE).hexdigest(),
    "url": f"/v1/jobs/{JOB_ID}/artifacts/out.bin",
}
EMPTY = {**ARTIFACT, "name": "empty", "size": 0, "sha256": sha256(b"").hexdigest()}
DONE = Job.from_record(record("completed", artifacts=[ARTIFACT, EMPTY]))
CUT = 50_000


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def bytes_response(*chunks: bytes, status: int = 200, whole: bool = True) -> httpx.Response:
    return httpx.Response(status, stream=Broken(*chunks, whole=whole))


async def test_an_artifact_is_saved_under_its_name(face: Open, tmp_path: Path):
    server = FakeServer(bytes_response(LARGE[:CUT], LARGE[CUT:]))
    path = await face(server).download(DONE, "out.bin", tmp_path)
    assert path == tmp_path / "out.bin"
    assert path.read_bytes() == LARGE
    assert names(tmp_path) == ["out.bin"]
    assert server.request.url.path == f"/v1/jobs/{JOB_ID}/artifacts/out.bin"
    assert server.request.headers["Accept-Encoding"] == "identity"
    assert "Range" not in server.request.headers


async def test_a_download_replaces_a_file(face: Open, tmp_path: Path):
    path = tmp_path / "mine"
    path.write_text("old")
    assert await face(FakeServer(bytes_response(LARGE))).download(DONE, "out.bin", str(path)) == path
    assert path.read_bytes() == LARGE


async def test_a_download_refuses_a_pipe(face: Open, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="Not a regular file"):
        await face(FakeServer()).download(DONE, "out.bin", pipe)
    assert pipe.is_fifo()


async def test_a_download_follows_a_link(face: Open, tmp_path: Path):
    (tmp_path / "link").symlink_to("file")
    await face(FakeServer(bytes_response(LARGE))).download(DONE, "out.bin", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == LARGE


async def test_a_broken_download_is_resumed_where_it_broke(face: Open, tmp_path: Path, clock: Clock):
    server = FakeServer(
        bytes_response(LARGE[:CUT], whole=False),
        REFUSED,
        bytes_response(LARGE[CUT : 2 * CUT], status=206),
        bytes_response(LARGE[2 * CUT :], status=206),
    )
    path = await face(server).download(DONE, "out.bin", tmp_path)
    assert path.read_bytes() == LARGE
    assert [request.headers.get("Range") for request in server.requests] == [
        None,
        f"bytes={CUT}-",
        f"bytes={CUT}-",
        f"bytes={2 * CUT}-",
    ]
    assert server.requests[1].headers["If-Range"] == f'"{ARTIFACT["sha256"]}"'
    assert len(clock.pauses) == 3


async def test_a_server_without_ranges_starts_a_download_over(face: Open, tmp_path: Path):
    server = FakeServer(bytes_response(LARGE[:CUT], whole=False), bytes_response(LARGE))
    path = await face(server).download(DONE, "out.bin", tmp_path)
    assert path.read_bytes() == LARGE


async def test_progress_resets_the_retries_of_a_download(face: Open):
    bits = [LARGE[n : n + CUT] for n in range(0, len(LARGE), CUT)]
    answers = [bytes_response(bit, status=206 if n else 200, whole=False) for n, bit in enumerate(bits)]
    assert await face(FakeServer(*answers), retries=Retries(most=1)).read_artifact(DONE, "out.bin") == LARGE


async def test_a_download_without_progress_fails(face: Open, tmp_path: Path):
    server = FakeServer(
        bytes_response(LARGE[:CUT], whole=False), *[bytes_response(status=206, whole=False) for _ in range(2)]
    )
    with pytest.raises(ServerUnreachable, match="the connection broke"):
        await face(server, retries=Retries(most=2)).download(DONE, "out.bin", tmp_path)
    assert server.exhausted
    assert names(tmp_path) == []


@pytest.mark.parametrize("came", [LARGE[:-1] + b"?", LARGE + b"more"])
async def test_a_damaged_download_is_not_saved(face: Open, tmp_path: Path, came: bytes):
    (tmp_path / "out.bin").write_text("old")
    with pytest.raises(DamagedDownload, match="Download it again"):
        await face(FakeServer(bytes_response(came))).download(DONE, "out.bin", tmp_path)
    assert names(tmp_path) == ["out.bin"]
    assert (tmp_path / "out.bin").read_text() == "old"


async def test_an_artifact_is_read_into_memory(face: Open):
    client = face(FakeServer(bytes_response(LARGE)))
    assert await client.read_artifact(DONE, "out.bin") == LARGE
    assert await client.read_artifact(DONE, "empty") == b""


async def test_an_artifact_of_a_job_id_needs_the_record_first(face: Open):
    server = FakeServer(job_response("completed", artifacts=[ARTIFACT]), bytes_response(LARGE))
    assert await face(server).read_artifact(JOB_ID, "out.bin") == LARGE
    assert server.requests[0].url.path == f"/v1/jobs/{JOB_ID}"


@pytest.mark.parametrize(
    ("found", "hint"),
    [
        (
            job_response("completed", artifacts=[ARTIFACT, EMPTY]),
            "Name one of those that it has: out.bin, empty.",
        ),
        (job_response("completed"), "It made none; its log may say why."),
        (job_response("running"), "It is running; wait until it is completed."),
    ],
)
async def test_a_missing_artifact_names_those_of_the_job(tmp_path: Path, found: httpx.Response, hint: str):
    with pytest.raises(NotFound, match="no artifact 'x'") as caught:
        await connect("Client", FakeServer(found)).download(JOB_ID, "x", tmp_path)
    assert (caught.value.code, caught.value.hint) == ("artifact_not_found", hint)
    assert names(tmp_path) == []


async def test_an_expired_artifact_is_not_found(face: Open, tmp_path: Path):
    with pytest.raises(NotFound, match="artifact_not_found"):
        await face(FakeServer(error_response(404, "artifact_not_found"))).download(DONE, "out.bin", tmp_path)
    assert names(tmp_path) == []


async def test_a_full_disk_leaves_no_file(face: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("client.files.PartialDownload.add", fail)
    stream = Broken(LARGE)
    with pytest.raises(OSError, match="No space left"):
        await face(FakeServer(httpx.Response(200, stream=stream))).download(DONE, "out.bin", tmp_path)
    assert names(tmp_path) == []
    assert stream.closed
