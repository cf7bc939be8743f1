"""An artifact on its way in: to its place only once it is there as a whole."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import httpx

from client.errors import DamagedDownload
from client.job import Artifact


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file beside the path, which takes its place after the block; after an error, none is left.

    A link stays, and the file that it leads to is replaced. A device or a pipe is refused: to put a file in
    its place would break it for everybody.

    Raises:
        OSError: it can't be written.
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


def place(to: str | os.PathLike[str], name: str) -> Path:
    """Where an artifact is to go: into a folder under its own name, else to the path itself."""
    path = Path(to)
    return path / name if path.is_dir() else path


class Received:
    """What has come of an artifact so far.

    Attributes:
        size: in bytes.
    """

    def __init__(self, artifact: Artifact, file: BinaryIO) -> None:
        self.artifact = artifact
        self.size = 0
        self._file = file
        self._hash = sha256()

    @property
    def whole(self) -> bool:
        return self.size >= self.artifact.size

    def headers(self) -> dict[str, str]:
        """What asks for the rest. A server that can't give that gives the whole."""
        plain = {"Accept-Encoding": "identity"}
        if not self.size:
            return plain
        return {**plain, "Range": f"bytes={self.size}-", "If-Range": f'"{self.artifact.sha256}"'}

    def begin(self, answer: httpx.Response) -> None:
        """Make ready for what an answer brings."""
        if answer.status_code != httpx.codes.PARTIAL_CONTENT:
            self.size = 0
            self._hash = sha256()
            self._file.seek(0)
            self._file.truncate()

    def add(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def check(self) -> None:
        """See that it is what the job made.

        Raises:
            DamagedDownload: it is not.
        """
        if self._hash.hexdigest() != self.artifact.sha256:
            raise DamagedDownload(self.artifact.name)
