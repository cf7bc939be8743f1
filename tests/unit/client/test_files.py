"""How files go in and artifacts come out, over connections that break; the same for both faces."""

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
from tests.unit.client.fake_server import JOB_ID, Broken, Clock, FakeServer, answer, connect, record, refused

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


class Line(httpx.MockTransport):
    """Carries the bodies of requests to a server piece by piece; the first so many break.

    Attributes:
        bodies: the pieces of each.
    """

    def __init__(self, server: FakeServer, *, breaks: int = 0) -> None:
        super().__init__(server)
        self.server = server
        self.bodies: list[list[bytes]] = []
        self._breaks = breaks

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.bodies.append([])
        for piece in request.stream:
            self._take(piece)
        return self.server(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self.bodies.append([])
        async for piece in request.stream:
            self._take(piece)
        return self.server(request)

    def _take(self, piece: bytes) -> None:
        self.bodies[-1].append(piece)
        if self._breaks:
            self._breaks -= 1
            raise httpx.WriteError("the connection broke")


def stored() -> httpx.Response:
    return httpx.Response(201, json=FILE)


# -- uploads


async def test_a_file_on_disk_is_sent_as_it_is_read(face: Open, tmp_path: Path):
    (tmp_path / "großes Bild.png").write_bytes(LARGE)
    line = Line(FakeServer(stored()))
    file = await face(line).upload(tmp_path / "großes Bild.png")
    assert list(map(len, line.bodies[0])) == [CHUNK, CHUNK, CHUNK, 3]
    assert b"".join(line.bodies[0]) == LARGE
    request = line.server.request
    assert (request.method, request.url.path) == ("POST", "/v1/files")
    assert request.headers["Content-Length"] == str(len(LARGE))
    assert request.headers["Content-Type"] == "image/png"
    assert request.headers["Content-Disposition"] == "attachment; filename*=UTF-8''gro%C3%9Fes%20Bild.png"
    assert "Transfer-Encoding" not in request.headers
    assert (file.file_id, file.name, file.size) == (FILE_ID, "data.csv", 3)
    assert file.expires_at == datetime(2026, 1, 2, 12, tzinfo=UTC)


async def test_bytes_have_no_name_and_no_type_unless_given(face: Open):
    server = FakeServer(stored(), stored())
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
    server = FakeServer(stored())
    with (tmp_path / "a.txt").open("rb") as file:
        file.seek(6)
        await face(server).upload(file)
        assert not file.closed
    assert server.request.content == b"unread"
    assert server.request.headers["Content-Length"] == "6"
    assert server.request.headers["Content-Disposition"].endswith("a.txt")


@pytest.mark.parametrize("source", [io.BytesIO(LARGE), LARGE])
async def test_an_upload_that_breaks_begins_again(face: Open, source: Any):
    line = Line(FakeServer(refused(503, "queue_unavailable"), stored()), breaks=2)
    if isinstance(source, io.BytesIO):
        source.seek(0)
    await face(line).upload(source)
    assert [len(b"".join(body)) for body in line.bodies] == [CHUNK, CHUNK, len(LARGE), len(LARGE)]
    assert b"".join(line.bodies[-1]) == LARGE


async def test_what_comes_by_a_pipe_is_sent_once(face: Open, clock: Clock):
    server = FakeServer(stored())
    for breaks in (0, 1):
        source, sink = os.pipe()
        os.write(sink, b"piped")
        os.close(sink)
        line = Line(server, breaks=breaks)
        with os.fdopen(source, "rb") as file:
            if breaks:
                with pytest.raises(ServerUnreachable):
                    await face(line).upload(file)
            else:
                await face(line).upload(file)
        assert line.bodies == [[b"piped"]]
    assert server.request.headers["Transfer-Encoding"] == "chunked"
    assert clock.pauses == []


async def test_a_source_that_can_not_be_read_is_the_callers_to_mend(face: Open, tmp_path: Path):
    client = face(FakeServer())
    with pytest.raises(FileNotFoundError):
        await client.upload(tmp_path / "missing")
    (tmp_path / "a.txt").write_text("text")
    with (tmp_path / "a.txt").open() as file, pytest.raises(TypeError, match='with the mode "rb"'):
        await client.upload(file)


async def test_a_file_stands_for_its_id_in_params(face: Open):
    server = FakeServer(answer(status=202))
    file = File.from_record(FILE)
    await face(server).submit("thumbnail", {"file": file, "more": [{"mask": file}, (1, None)]})
    (body,) = server.bodies()
    assert body["params"] == {"file": FILE_ID, "more": [{"mask": FILE_ID}, [1, None]]}


async def test_a_file_is_looked_at_and_deleted(face: Open):
    server = FakeServer(httpx.Response(200, json=FILE), httpx.Response(204), refused(409, "file_in_use"))
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


async def test_a_file_that_is_not_there(face: Open):
    with pytest.raises(NotFound, match="file_not_found"):
        await face(FakeServer(refused(404, "file_not_found"))).file(FILE_ID)


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


def sent(*chunks: bytes, status: int = 200, whole: bool = True) -> httpx.Response:
    return httpx.Response(status, stream=Broken(*chunks, whole=whole))


async def test_an_artifact_is_saved_under_its_name(face: Open, tmp_path: Path):
    server = FakeServer(sent(LARGE[:CUT], LARGE[CUT:]))
    path = await face(server).download(DONE, "out.bin", tmp_path)
    assert path == tmp_path / "out.bin"
    assert path.read_bytes() == LARGE
    assert names(tmp_path) == ["out.bin"]
    assert server.request.url.path == f"/v1/jobs/{JOB_ID}/artifacts/out.bin"
    assert server.request.headers["Accept-Encoding"] == "identity"
    assert "Range" not in server.request.headers


async def test_it_takes_the_place_of_what_was_there(face: Open, tmp_path: Path):
    path = tmp_path / "mine"
    path.write_text("old")
    assert await face(FakeServer(sent(LARGE))).download(DONE, "out.bin", str(path)) == path
    assert path.read_bytes() == LARGE


async def test_a_download_takes_the_place_of_no_device(face: Open, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="Not a regular file"):
        await face(FakeServer()).download(DONE, "out.bin", pipe)
    assert pipe.is_fifo()


async def test_a_download_follows_a_link(face: Open, tmp_path: Path):
    (tmp_path / "link").symlink_to("file")
    await face(FakeServer(sent(LARGE))).download(DONE, "out.bin", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == LARGE


async def test_a_download_that_breaks_is_taken_up_where_it_broke(face: Open, tmp_path: Path, clock: Clock):
    server = FakeServer(
        sent(LARGE[:CUT], whole=False),
        REFUSED,
        sent(LARGE[CUT : 2 * CUT], status=206),
        sent(LARGE[2 * CUT :], status=206),
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


async def test_a_server_that_sends_all_again_is_heard_from_the_start(face: Open, tmp_path: Path):
    server = FakeServer(sent(LARGE[:CUT], whole=False), sent(LARGE))
    path = await face(server).download(DONE, "out.bin", tmp_path)
    assert path.read_bytes() == LARGE


async def test_a_download_goes_on_as_long_as_it_gets_further(face: Open):
    bits = [LARGE[n : n + CUT] for n in range(0, len(LARGE), CUT)]
    answers = [sent(bit, status=206 if n else 200, whole=False) for n, bit in enumerate(bits)]
    assert await face(FakeServer(*answers), retries=Retries(most=1)).read_artifact(DONE, "out.bin") == LARGE


async def test_a_download_that_gets_no_further_is_given_up(face: Open, tmp_path: Path):
    server = FakeServer(sent(LARGE[:CUT], whole=False), *[sent(status=206, whole=False) for _ in range(2)])
    with pytest.raises(ServerUnreachable, match="the connection broke"):
        await face(server, retries=Retries(most=2)).download(DONE, "out.bin", tmp_path)
    assert server.exhausted
    assert names(tmp_path) == []


@pytest.mark.parametrize("came", [LARGE[:-1] + b"?", LARGE + b"more"])
async def test_what_is_not_what_the_job_made_is_not_saved(face: Open, tmp_path: Path, came: bytes):
    (tmp_path / "out.bin").write_text("old")
    with pytest.raises(DamagedDownload, match="Download it again"):
        await face(FakeServer(sent(came))).download(DONE, "out.bin", tmp_path)
    assert names(tmp_path) == ["out.bin"]
    assert (tmp_path / "out.bin").read_text() == "old"


async def test_an_artifact_is_read_at_once(face: Open):
    client = face(FakeServer(sent(LARGE)))
    assert await client.read_artifact(DONE, "out.bin") == LARGE
    assert await client.read_artifact(DONE, "empty") == b""


async def test_by_its_id_a_job_is_asked_for_first(face: Open):
    server = FakeServer(answer("completed", artifacts=[ARTIFACT]), sent(LARGE))
    assert await face(server).read_artifact(JOB_ID, "out.bin") == LARGE
    assert server.requests[0].url.path == f"/v1/jobs/{JOB_ID}"


@pytest.mark.parametrize(
    ("found", "hint"),
    [
        (answer("completed", artifacts=[ARTIFACT, EMPTY]), "It has out.bin, empty."),
        (answer("completed"), "It has none."),
        (answer("running"), "It is running; wait until it is completed."),
    ],
)
async def test_an_artifact_that_is_not_there(tmp_path: Path, found: httpx.Response, hint: str):
    with pytest.raises(NotFound, match="no artifact 'x'") as caught:
        await connect("Client", FakeServer(found)).download(JOB_ID, "x", tmp_path)
    assert (caught.value.code, caught.value.hint) == ("artifact_not_found", hint)
    assert names(tmp_path) == []


async def test_an_artifact_that_is_kept_no_longer(face: Open, tmp_path: Path):
    with pytest.raises(NotFound, match="artifact_not_found"):
        await face(FakeServer(refused(404, "artifact_not_found"))).download(DONE, "out.bin", tmp_path)
    assert names(tmp_path) == []


async def test_a_disk_that_is_full_leaves_nothing_behind(
    face: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("client.files.PartialDownload.add", fail)
    stream = Broken(LARGE)
    with pytest.raises(OSError, match="No space left"):
        await face(FakeServer(httpx.Response(200, stream=stream))).download(DONE, "out.bin", tmp_path)
    assert names(tmp_path) == []
    assert stream.closed
