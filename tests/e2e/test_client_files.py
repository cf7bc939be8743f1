"""Files, logs and webhooks of the client with the real service, and the examples of docs/client.md."""

import io
import os
import re
import shlex
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from PIL import Image

from client import AsyncClient, Client, Job, JobServerError, LogLine, NotFound
from dev.service import Service, serving
from dev.stack import ROOT, free_port, wait_until

DOCUMENT = (ROOT / "docs" / "client.md").read_text()
SECRET = f"whsec_{b64encode(bytes(32)).decode()}"
SMALL = {"width": 64, "height": 64}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(WEBHOOK_SECRETS=SECRET, WEBHOOK_ALLOWED_NETWORKS="127.0.0.1/32") as service:
        service.start_workers(
            1,
            module="tests.e2e.logging_worker",
            WEBHOOK_SECRETS=SECRET,
            WEBHOOK_ALLOWED_NETWORKS="127.0.0.1/32",
        )
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.stack.api_url) as client:
        yield client


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of 300 x 200 pixels, no two of them alike."""
    path = tmp_path / "photo.jpg"
    Image.frombytes("RGB", (300, 200), bytes(range(240)) * 750).save(path)
    return path


class BreaksOnce(httpx.HTTPTransport):
    """Transport that breaks once, in the middle of an artifact.

    Attributes:
        ranges: the header Range of each request.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[str | None] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if "/artifacts/" not in request.url.path:
            return answer
        self.ranges.append(request.headers.get("Range"))
        if len(self.ranges) > 1:
            return answer
        with closing(answer):
            return httpx.Response(200, headers=answer.headers, stream=Cut(answer.read()[:100]))


class Cut(httpx.SyncByteStream):
    """Body that breaks in the middle."""

    def __init__(self, begun: bytes) -> None:
        self._begun = begun

    def __iter__(self) -> Iterator[bytes]:
        yield self._begun
        raise httpx.ReadError("the connection broke")


def code_block(language: str, within: str) -> str:
    """The block of docs/client.md in this language with these words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if within in block]
    return str(block)


def environment(service: Service) -> dict[str, str]:
    return {
        **os.environ,
        "JOB_SERVER_URL": service.stack.api_url,
        "PYTHONPATH": str(ROOT),
        "WEBHOOK_SECRETS": SECRET,
    }


def refuses(url: str) -> bool:
    """Whether a receiver answers there, and refuses an unsigned webhook."""
    try:
        return httpx.post(url, content=b"{}").status_code == 400
    except httpx.ConnectError:
        return False


# -- in Python


def test_from_a_file_to_an_artifact(client: Client, photo: Path, tmp_path: Path) -> None:
    file = client.upload(photo)
    job = client.submit("thumbnail", {"file": file, **SMALL})
    items = list(client.follow(job))

    assert (file.name, file.content_type, file.size) == ("photo.jpg", "image/jpeg", photo.stat().st_size)
    assert file.sha256 == sha256(photo.read_bytes()).hexdigest()
    lines = [item for item in items if isinstance(item, LogLine)]
    assert [(line.seq, line.message) for line in lines] == [(1, "begun"), (2, "made")]
    assert lines == client.logs(job)
    assert client.logs(job, after=1) == lines[1:]
    assert isinstance(items[-1], Job)
    (artifact,) = items[-1].artifacts
    assert (artifact.name, artifact.content_type) == ("thumbnail.png", "image/png")
    path = client.download(job, "thumbnail.png", tmp_path)
    assert path.stat().st_size == artifact.size
    with Image.open(path) as thumbnail:
        assert thumbnail.size == (64, 43)
    assert client.read_artifact(job, "thumbnail.png") == path.read_bytes()


async def test_the_same_with_await(service: Service, photo: Path, tmp_path: Path) -> None:
    async with AsyncClient(service.stack.api_url) as client:
        with photo.open("rb") as source:
            file = await client.upload(source)
        job = await client.submit("thumbnail", {"file": file, **SMALL}, wait=20)
        path = await client.download(job, "thumbnail.png", tmp_path / "small.png")

        assert [line.message for line in await client.logs(job)] == ["begun", "made"]
        assert await client.read_artifact(job, "thumbnail.png") == path.read_bytes()


def test_a_download_that_breaks_brings_the_rest(service: Service, photo: Path) -> None:
    transport = BreaksOnce()
    with Client(service.stack.api_url, transport=transport) as client:
        job = client.submit("thumbnail", {"file": client.upload(photo), **SMALL}, wait=20)
        whole = client.read_artifact(job, "thumbnail.png")

    assert sha256(whole).hexdigest() == job.artifacts[0].sha256
    assert transport.ranges == [None, "bytes=100-"]


def test_a_file_is_deleted_once_no_job_needs_it(client: Client) -> None:
    file = client.upload(b"a,b\n1,2\n", "data.csv")
    job = client.submit("csv_profile", {"file": file}, delay=3600)
    with pytest.raises(JobServerError, match="file_in_use"):
        client.delete_file(file)

    client.cancel(job)
    client.delete_file(file)

    with pytest.raises(NotFound, match="file_not_found"):
        client.file(file)


def test_an_upload_without_a_name_or_a_known_length(client: Client) -> None:
    source, sink = os.pipe()
    os.write(sink, b"piped")
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        file = client.upload(pipe)

    assert (file.name, file.content_type, file.size) == (None, "application/octet-stream", 5)
    assert client.upload(io.BytesIO(b""), "nothing — at all").name == "nothing — at all"


# -- examples of docs/client.md


def test_the_example_with_files_does_what_it_says(service: Service, photo: Path, tmp_path: Path) -> None:
    example = code_block("python", "client.upload").replace("http://127.0.0.1:8000", service.stack.api_url)
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env=environment(service),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stderr == ""
    *_, end, path = done.stdout.splitlines()
    assert end.startswith("completed ")
    assert path == "small.png"
    assert re.search(r"\+00:00 begun {'width': 128}$", done.stdout, re.MULTILINE)
    with Image.open(tmp_path / path) as small:
        assert small.size == (128, 85)


def test_the_commands_with_files_work(service: Service, photo: Path, tmp_path: Path) -> None:
    commands = code_block("sh", "client upload").replace("python -m", f"{shlex.quote(sys.executable)} -m")
    done = subprocess.run(
        ["sh", "-euc", commands],
        cwd=tmp_path,
        env=environment(service),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stderr == ""
    begun, made, saved = done.stdout.splitlines()
    assert begun.endswith("Z  begun  width=128")
    assert re.search(r"Z  made  size=\d+$", made)
    assert saved == "small.png"
    assert (tmp_path / saved).exists()


def test_the_documented_receiver_gets_genuine_webhooks_only(
    service: Service, client: Client, tmp_path: Path
) -> None:
    port, output = free_port(), tmp_path / "output"
    example = code_block("python", "verify(").replace("9000", str(port))
    with output.open("w") as out:
        receiver = subprocess.Popen(
            [sys.executable, "-c", example],
            env=environment(service),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_until(lambda: refuses(url), "the receiver is up")
        job = client.submit("echo", {"message": "hi"}, webhook=url)
        assert job.webhook == url
        printed = f"evt_{job.job_id} job.completed {{'message': 'hi'}}"
        wait_until(lambda: printed in output.read_text(), "the receiver gets the webhook")
        wait_until(lambda: client.webhook(job).deliveries[0].done, "the delivery is written down")
        assert client.webhook(job).deliveries[0].status == 204
        assert client.redeliver(job).deliveries[-1].number == 2
        wait_until(lambda: output.read_text().count(printed) == 2, "the receiver gets the webhook again")
    finally:
        receiver.kill()
        receiver.wait()
