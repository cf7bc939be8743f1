"""The file store: what jobs read and what they make, in a folder or in a bucket.

| key                            | holds                                                              |
| ------------------------------ | ------------------------------------------------------------------ |
| `files/<file_id>`              | an uploaded file                                                   |
| `jobs/<job_id>/<token>/<name>` | an artifact; `token` is the fencing token of the claim that made   |
|                                | it, so that no attempt touches the files of another one            |

Calls block in threads of the store's own. The library's asynchronous ones finish by themselves: one that is
cancelled, or outlives its event loop, can't be stopped, and a write must be.
"""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar, cast
from urllib.parse import SplitResult, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from shared.errors import StorageFull, StorageUnavailable
from shared.logging import get_log

UPLOADS = "files"
ARTIFACTS = "jobs"
ARTIFACT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}( *;[ -~]{1,127})?", re.ASCII)

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")
URL_FORMS = "must be like file:///absolute/path or s3://bucket/prefix"
CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"

PIECE = 1 << 20  # bytes that pass at once
PART = 5 << 20  # bytes that a bucket gets in one request; it takes 10,000 of them for an object
FOLDER_PART = PIECE
LARGEST = 10_000 * PART
PARTS_AT_ONCE = 2
ROOM = ".room"  # the key of a file that is written to see whether there is room
ROOM_BYTES = 1 << 16
WRITES_AT_ONCE = 16  # pieces, each of which takes a moment
CALLS_AT_ONCE = 16
LISTED_AT_ONCE = 500
BUCKET_TIMES: Any = {"connect_timeout": "2s", "timeout": "10s"}  # for each request, that is a part or a piece
BUCKET_RETRIES: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=4)}

if TYPE_CHECKING:
    from obstore import WritableFile

log = get_log(__name__)

FULL = re.compile(
    r"os error (28|122)\b|No space left|quota exceeded|InsufficientStorage|QuotaExceeded|StorageFull",
    re.IGNORECASE,
)
"""Texts of errors: of a full disk and a spent quota (Linux: ENOSPC, EDQUOT), and of a bucket's server."""

T = TypeVar("T")
Data = bytes | Path | AsyncIterable[bytes]


def upload_key(file_id: str) -> str:
    return f"{UPLOADS}/{file_id}"


def artifact_key(job_id: str, fencing_token: int, name: str) -> str:
    return f"{ARTIFACTS}/{job_id}/{fencing_token}/{name}"


class Stored(NamedTuple):
    """The size of an object in bytes, and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


class Listed(NamedTuple):
    """A key, or what several keys begin with, and when it was written, in seconds since the epoch."""

    key: str
    written: float


class FileStore:
    """A folder or a bucket. Each call raises StorageUnavailable while it can't be served.

    Args:
        objects: where the objects are kept.
        folder: the same place, if it is a folder.
    """

    def __init__(self, objects: LocalStore | S3Store, folder: Path | None = None) -> None:
        self._objects = objects
        self._folder = folder
        self._full = False  # by the last write
        self._writers = ThreadPoolExecutor(WRITES_AT_ONCE, "file-writer")
        self._callers = ThreadPoolExecutor(CALLS_AT_ONCE, "file-caller")

    @classmethod
    def open(cls, url: str) -> "FileStore":
        """The store behind `file:///absolute/path`, a folder that is made if need be, or `s3://bucket/prefix`.

        Where a bucket is, and who may use it, say the usual AWS_* variables of the environment.

        Raises:
            ValueError: the URL is of neither form, or the folder can't be made. The message quotes nothing of
                a URL that is refused, for it may hold a key.
        """
        parts = _split(url)
        if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
            folder = Path(unquote(parts.path))
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ValueError(f"the folder {folder} can't be made: {error.strerror}") from None
            return cls(LocalStore(folder), folder)
        if parts.scheme == "s3" and BUCKET.fullmatch(parts.netloc):
            _check_endpoint()
            prefix = unquote(parts.path).strip("/") or None
            try:
                bucket = S3Store(
                    parts.netloc, prefix=prefix, config=BUCKET_TIMES, retry_config=BUCKET_RETRIES
                )
            except BaseError as error:
                raise ValueError(f"the AWS_* variables do not fit: {_first_line(error)}") from None
            return cls(bucket)
        raise ValueError(URL_FORMS)

    def close(self) -> None:
        """Take no more calls; those under way come to their end."""
        self._writers.shutdown(wait=False, cancel_futures=True)
        self._callers.shutdown(wait=False, cancel_futures=True)

    async def put(self, key: str, data: Data) -> Stored:
        """Write an object, in place of one that is there. It is seen whole or not at all.

        If the source of the data fails, its error comes out of here; then, and after a cancellation, nothing
        of the object is left.

        Args:
            data: bytes, the path of a file, or chunks of any size, as they come.
        """
        write = _Write(self._objects, key, self._writers, FOLDER_PART if self._folder else PART)
        try:
            stored = await write.run(data)
        except StorageFull:
            self._full = True
            raise
        self._full = False
        return stored

    async def has_room(self) -> bool:
        """Whether a small file can be written; a bucket is not tried unless it was full at the last write."""
        if self._folder is None and not self._full:
            return True
        try:
            await self.put(ROOM, bytes(ROOM_BYTES))
        except StorageFull:
            return False
        await self.delete(ROOM)
        return True

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to and without `end`, piece by piece.

        Each piece is asked for when the one before was taken, so a slow reader holds nothing open.

        Raises:
            FileNotFoundError: there is no such object, or no longer.
        """
        for begin in range(start, end, PIECE):
            until = min(begin + PIECE, end)
            piece = await self._call(obstore.get_range, self._objects, key, start=begin, end=until)
            yield piece.to_bytes()

    async def size(self, key: str) -> int:
        """The size of an object in bytes.

        Raises:
            FileNotFoundError: there is no such object.
        """
        meta = await self._call(obstore.head, self._objects, key)
        return meta["size"]

    async def delete(self, key: str) -> None:
        """Remove an object, or all that lies under a key; also what a killed process has left there."""
        await self._call(self._delete, key)

    async def listing(self, prefix: str, depth: int) -> AsyncIterator[list[Listed]]:
        """Keys `depth` steps below a prefix, in batches; an empty folder above stands for itself."""
        found = _walk(self._folder, prefix, depth) if self._folder else self._walk_bucket(prefix, depth)
        while batch := await self._call(lambda: list(islice(found, LISTED_AT_ONCE))):
            yield batch

    def local_path(self, key: str) -> Path | None:
        """The path of an object, to read it there; None if it is not on this machine."""
        return self._folder and self._folder / key

    async def _call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        def call() -> T:
            try:
                return function(*arguments, **options)
            except FileNotFoundError:
                raise
            except (BaseError, OSError) as error:
                raise _unavailable(error) from error

        return await asyncio.get_running_loop().run_in_executor(self._callers, call)

    def _delete(self, key: str) -> None:
        path = self.local_path(key)
        if path is None:
            for chunk in obstore.list(self._objects, key, chunk_size=LISTED_AT_ONCE):
                obstore.delete(self._objects, [meta["path"] for meta in chunk])
            obstore.delete(self._objects, [key])
        else:
            with suppress(FileNotFoundError):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def _walk_bucket(self, prefix: str, depth: int) -> Iterator[Listed]:
        last = None
        for chunk in obstore.list(self._objects, prefix, chunk_size=LISTED_AT_ONCE):
            for meta in chunk:
                key = "/".join(meta["path"].split("/")[: depth + 1])
                if key != last:  # they come in order
                    yield Listed(key, meta["last_modified"].timestamp())
                last = key


def _split(url: str) -> SplitResult:
    """The parts of a URL that has neither credentials nor a query."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its message quotes the host, or what stands in its place
        raise ValueError(URL_FORMS) from None
    if parts.scheme == "s3" and re.search("[@:]", parts.netloc):
        raise ValueError(f"must hold no credentials: {CREDENTIALS}")
    if parts.query or parts.fragment:
        raise ValueError(URL_FORMS)
    return parts


def _check_endpoint() -> None:
    """Refuse an address of the bucket's server that the log must not show, or that the library panics at."""
    for name in ENDPOINTS:
        address = os.environ.get(name, "")
        if "@" in address:
            raise ValueError(f"{name} must hold no user and no password: {CREDENTIALS}")
        if address and not re.match(r"https?://[^/\s]", address):
            raise ValueError(f"{name} must be like https://host:port")


def _walk(folder: Path, key: str, depth: int) -> Iterator[Listed]:
    """As the folder has it: the library does not show what a killed process has left."""
    gone = suppress(FileNotFoundError)  # meanwhile
    with gone, os.scandir(folder / key) as entries:
        empty = True
        for entry in entries:
            empty, below = False, f"{key}/{entry.name}"
            if depth > 1 and entry.is_dir():
                yield from _walk(folder, below, depth - 1)
            else:
                with gone:
                    yield Listed(below, entry.stat().st_mtime)
        if empty and "/" in key:
            yield Listed(key, (folder / key).stat().st_mtime)


class _Write:
    """One object on its way into the store. Threads of `pool` write its pieces; none is held between them.

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
        """The data in pieces of PIECE bytes, but for the last."""
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
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> StorageUnavailable:
    log.warning("the file store failed", error=_first_line(error))  # it may name what no client should know
    if FULL.search(str(error)):
        return StorageFull("The file store has no room for the file.")
    return StorageUnavailable(f"The file store does not answer ({type(error).__name__}).")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
