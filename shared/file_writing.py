"""Writing of one object into the file store: seen whole or not at all, and hashed while it passes."""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from shared.errors import StorageFull, StorageUnavailable
from shared.logging import get_log

PIECE = 1 << 20  # bytes that pass at once
PARTS_AT_ONCE = 2

FULL = re.compile(
    r"os error (28|122)\b|No space left|quota exceeded|InsufficientStorage|QuotaExceeded|StorageFull",
    re.IGNORECASE,
)
"""Texts of errors of a full disk or an exhausted quota (Linux: ENOSPC, EDQUOT), and of a bucket's server."""

if TYPE_CHECKING:
    from obstore import WritableFile

T = TypeVar("T")
Data = bytes | Path | AsyncIterable[bytes]

log = get_log(__name__)


class Stored(NamedTuple):
    """The size of an object in bytes, and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


class FileWrite:
    """The write of one object. Threads of `pool` write its pieces, and are free between them.

    Args:
        part: bytes that the library gathers before it passes them on.
    """

    def __init__(self, objects: LocalStore | S3Store, key: str, pool: ThreadPoolExecutor, part: int) -> None:
        self._objects = objects
        self._key = key
        self._pool = pool
        self._part = part
        self._writer: WritableFile | None = None
        self._call_under_way: asyncio.Future[Any] | None = None
        self._digest = sha256()
        self._size = 0

    async def run(self, data: Data) -> Stored:
        try:
            pieces = self._pieces(data)
            first = await anext(pieces, b"")
            if len(first) < PIECE:  # that is all: it goes in one request
                await self._call(self._put, first)
            else:
                await self._call(self._append, first)
                async for piece in pieces:
                    await self._call(self._append, piece)
                await self._call(self._close)
        except BaseException:
            await asyncio.shield(self._abort())
            raise
        return Stored(self._size, self._digest.hexdigest())

    async def _pieces(self, data: Data) -> AsyncIterator[bytes]:
        """The data in pieces of PIECE bytes; the last one may be shorter."""
        if isinstance(data, bytes):
            for start in range(0, len(data), PIECE):
                yield data[start : start + PIECE]
        elif isinstance(data, Path):
            with await self._call(data.open, "rb") as file:
                while piece := await self._call(cast("BinaryIO", file).read, PIECE):
                    yield piece
        else:
            rest = bytearray()
            async for chunk in data:
                rest += chunk
                while len(rest) >= PIECE:
                    yield bytes(rest[:PIECE])
                    del rest[:PIECE]
            if rest:
                yield bytes(rest)

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        call = asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        self._call_under_way = call
        return await asyncio.shield(call)

    def _put(self, piece: bytes) -> None:
        self._count(piece)
        with _translated():
            obstore.put(self._objects, self._key, piece)

    def _append(self, piece: bytes) -> None:
        self._count(piece)
        with _translated():
            if self._writer is None:
                self._writer = obstore.open_writer(
                    self._objects, self._key, buffer_size=self._part, max_concurrency=PARTS_AT_ONCE
                )
            self._writer.write(piece)

    def _close(self) -> None:
        if self._writer is not None:
            with _translated():
                self._writer.close()

    async def _abort(self) -> None:
        """Remove the parts of the object, once the call under way has ended."""
        if self._call_under_way is not None:
            await asyncio.wait([self._call_under_way])
            self._call_under_way.exception()  # read, or asyncio logs it
        if self._writer is not None and not self._writer.closed():
            with suppress(BaseError, OSError):
                await self._call(self._writer.__exit__, _Aborted, _Aborted(), None)

    def _count(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._size += len(piece)


class _Aborted(Exception):
    """The reason for the library's writer to drop the object."""


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:  # not found: the bucket
        raise unavailable(error) from error


def unavailable(error: Exception) -> StorageUnavailable:
    """Log an error of the store; returns the error that clients may see."""
    log.warning("the file store failed", error=first_line(error))  # it may name what no client should know
    if FULL.search(str(error)):
        return StorageFull("The file store has no room for the file.")
    return StorageUnavailable(f"The file store does not answer ({type(error).__name__}).")


def first_line(error: Exception) -> str:
    """The first line of an error's text: the library's further lines describe its own code."""
    return str(error).partition("\n")[0][:300]
