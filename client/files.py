"""Upload of files and download of artifacts, in chunks, so that no file is held in memory as a whole."""

import errno
import io
import mimetypes
import os
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote
from uuid import uuid4

import httpx

from client.errors import DamagedDownload, NotFound, ServerUnreachable
from client.models.files import File
from client.models.jobs import Artifact, Job
from client.transport import Transport, job_path, parse

STORING = 60.0  # seconds that the server may take after the last byte of an upload
UNKNOWN_TYPE = "application/octet-stream"

Source = str | os.PathLike[str] | bytes | BinaryIO


def file_path(file: File | str) -> str:
    return f"/files/{quote(file if isinstance(file, str) else file.file_id, safe='')}"


# -- uploads


async def upload(
    transport: Transport, source: Source, name: str | None = None, content_type: str | None = None
) -> File:
    """Upload a file; a broken upload is sent again from its start, unless the source can't seek.

    If only the response is lost, a file without a job stays on the server until its retention ends.
    """
    with opened(source) as file:
        request = transport.request(
            "POST",
            "/files",
            headers=upload_headers(source, file, name, content_type),
            content=transport.body(file),
            hold=STORING,
        )
        response = await transport.send(request, retry=file.seekable())
    return parse(response.content, File.from_record)


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Open a source for the block; a file that is already open stays open.

    Raises:
        OSError: the source can't be read.
        TypeError: the source is a file of text.
    """
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:  # noqa: PTH123 - a path may be of any kind
            yield file
    elif hasattr(source, "encoding"):
        raise TypeError('The file gives text, not bytes; open it with the mode "rb".')
    else:
        yield source


def upload_headers(
    source: Source, file: BinaryIO, name: str | None, content_type: str | None
) -> dict[str, str]:
    """Headers of an upload: media type, name, and the length where the file can seek."""
    name = name or _name_on_disk(source)
    headers = {"Content-Type": content_type or (name and mimetypes.guess_type(name)[0]) or UNKNOWN_TYPE}
    if name:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    if file.seekable():
        start = file.tell()
        headers["Content-Length"] = str(file.seek(0, os.SEEK_END) - start)
        file.seek(start)
    return headers


def _name_on_disk(source: Source) -> str | None:
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    if not isinstance(path, str | os.PathLike) or str(path).startswith("<"):  # such as <stdin>
        return None
    name = os.fsencode(Path(path).name)
    return name.decode(errors="replace")  # a header is UTF-8, the name of a file any bytes


# -- downloads


async def download(transport: Transport, job: Job | str, name: str, to: str | os.PathLike[str] = ".") -> Path:
    """Save an artifact; the file appears under its name only when all of it came and its SHA-256 is right."""
    artifact = await _artifact(transport, job, name)
    path = _target(to, artifact.name)
    with replacing(path) as file:
        await _receive(transport, job, PartialDownload(artifact, file))
    return path


def _target(to: str | os.PathLike[str], name: str) -> Path:
    path = Path(to)
    return path / name if path.is_dir() else path


async def read_artifact(transport: Transport, job: Job | str, name: str) -> bytes:
    file = io.BytesIO()
    artifact = await _artifact(transport, job, name)
    await _receive(transport, job, PartialDownload(artifact, file))
    return file.getvalue()


async def _artifact(transport: Transport, job: Job | str, name: str) -> Artifact:
    if isinstance(job, str) or not job.done:
        job = parse(await transport.get(job_path(job)), Job.from_record)
    for artifact in job.artifacts:
        if artifact.name == name:
            return artifact
    names = ", ".join(artifact.name for artifact in job.artifacts)
    if not job.done:
        hint = f"It is {job.state}; wait until it is completed."
    else:
        hint = f"Name one of those that it has: {names}." if names else "It made none; its log may say why."
    raise NotFound("artifact_not_found", f"The job {job.job_id} has no artifact {name!r}.", hint)


class PartialDownload:
    """Bytes of an artifact that came so far, with their SHA-256.

    Attributes:
        size: in bytes.
    """

    def __init__(self, artifact: Artifact, file: BinaryIO) -> None:
        self.artifact = artifact
        self.size = 0
        self._file = file
        self._hash = sha256()

    @property
    def complete(self) -> bool:
        return self.size >= self.artifact.size

    def headers(self) -> dict[str, str]:
        """Request headers for the rest; a server without ranges sends the whole."""
        headers = {"Accept-Encoding": "identity"}
        if self.size:
            headers |= {"Range": f"bytes={self.size}-", "If-Range": f'"{self.artifact.sha256}"'}
        return headers

    def begin(self, response: httpx.Response) -> None:
        """Start over, unless the response is the rest."""
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            self.size = 0
            self._hash = sha256()
            self._file.seek(0)
            self._file.truncate()

    def add(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def check(self) -> None:
        """Compare the SHA-256 with the record's.

        Raises:
            DamagedDownload: they differ.
        """
        if self._hash.hexdigest() != self.artifact.sha256:
            raise DamagedDownload(self.artifact.name)


async def _receive(transport: Transport, job: Job | str, partial: PartialDownload) -> None:
    """Request the rest until the download is complete; progress resets the count of retries."""
    start, count = transport.now(), 0
    path = job_path(job, "artifacts", partial.artifact.name)
    while not partial.complete:
        request = transport.request("GET", path, headers=partial.headers())
        response = await transport.send(request, stream=True)
        before = partial.size
        try:
            await _read_rest(transport, response, partial)
        except ServerUnreachable as error:
            if partial.size > before:
                start, count = transport.now(), 0
            pause = transport.retries.pause(error, count, transport.now() - start)
            if pause is None:
                raise
            await transport.sleep(pause)
            count += 1
    partial.check()


async def _read_rest(transport: Transport, response: httpx.Response, partial: PartialDownload) -> None:
    partial.begin(response)
    async with aclosing(transport.chunks(response)) as chunks:
        async for chunk in chunks:
            await transport.use_disk(partial.add, chunk)
    if not partial.complete:
        raise ServerUnreachable("The connection ended before the artifact did.")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a temporary file that replaces the path after the block; an error deletes the temporary file.

    A link stays, and its target is replaced. A device or a pipe is refused: a file in its place would break
    the device for everybody.

    Raises:
        OSError: the file can't be written.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    part = path.with_name(f".{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
