"""What is uploaded: a file on disk, an open one, or bytes; read as it is sent, and never held as a whole."""

import asyncio
import io
import mimetypes
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

CHUNK = 1 << 18  # bytes
UNKNOWN = "application/octet-stream"

Source = str | os.PathLike[str] | bytes | BinaryIO


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """The source as a file that can be read within the block; one that is open already stays so.

    Raises:
        OSError: it can't be read.
        TypeError: it is a file of text.
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


def headers(source: Source, file: BinaryIO, name: str | None, content_type: str | None) -> dict[str, str]:
    """What is said of a file on its way, its length too if that is known."""
    name = name or _name(source)
    known = {"Content-Type": content_type or (name and mimetypes.guess_type(name)[0]) or UNKNOWN}
    if name:
        known["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    if file.seekable():
        start = file.tell()
        known["Content-Length"] = str(file.seek(0, os.SEEK_END) - start)
        file.seek(start)
    return known


class Body:
    """A file from where it stands to its end; if it can be wound back, as often as it is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell() if file.seekable() else None

    def _wind_back(self) -> None:
        if self._start is not None:
            self._file.seek(self._start)


class BlockingBody(Body):
    """Read where it is sent."""

    def __iter__(self) -> Iterator[bytes]:
        self._wind_back()
        while chunk := self._file.read(CHUNK):
            yield chunk


class AwaitedBody(Body):
    """Read in threads."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._wind_back()
        while chunk := await asyncio.to_thread(self._file.read, CHUNK):
            yield chunk


def _name(source: Source) -> str | None:
    """What the file is called, if it is one on disk."""
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    if not isinstance(path, str | os.PathLike) or str(path).startswith("<"):  # such as <stdin>
        return None
    name = os.fsencode(Path(path).name)
    return name.decode(errors="replace")  # a header is UTF-8, the name of a file any bytes
