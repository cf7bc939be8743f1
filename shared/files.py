"""The file store: uploaded files and the artifacts of jobs, in a folder or in a bucket.

| key                                     | holds                                                     |
| --------------------------------------- | --------------------------------------------------------- |
| `files/<file_id>`                       | an uploaded file                                          |
| `jobs/<job_id>/<token>/<worker>/<name>` | an artifact; fencing token and worker are those of the    |
|                                         | claim, so that no attempt touches the files of another    |
|                                         | one: a fail-over may lose a claim, and two workers get    |
|                                         | the same token then. Older releases leave out the worker. |

Calls block in threads of the store's own. The library's asynchronous ones finish by themselves: one that is
cancelled, or outlives its event loop, can't be stopped, and a write must be.
"""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from shared.errors import StorageFull
from shared.file_writing import PIECE, Data, FileWrite, Stored, first_line, unavailable

UPLOADS = "files"
ARTIFACTS = "jobs"
ARTIFACT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}( *;[ -~]{1,127})?", re.ASCII)

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")
URL_FORMS = "must be like file:///absolute/path or s3://bucket/prefix"
CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"

PART = 5 << 20  # bytes that a bucket gets in one request; it takes 10,000 of them for an object
FOLDER_PART = PIECE
LARGEST = 10_000 * PART
ROOM = ".room"  # the key of a small file whose write shows whether there is room
ROOM_BYTES = 1 << 16
WRITES_AT_ONCE = 16  # pieces, each of which takes a moment
CALLS_AT_ONCE = 16
LISTED_AT_ONCE = 500
BUCKET_TIMES: Any = {"connect_timeout": "2s", "timeout": "10s"}  # for each request, that is a part or a piece
BUCKET_RETRIES: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=4)}

T = TypeVar("T")


def upload_key(file_id: str) -> str:
    return f"{UPLOADS}/{file_id}"


def artifact_key(job_id: str, fencing_token: int, worker_id: str, name: str) -> str:
    return f"{ARTIFACTS}/{job_id}/{fencing_token}/{worker_id}/{name}"


def older_artifact_key(job_id: str, fencing_token: int, name: str) -> str:
    """The key of an artifact that a worker of an older release has made."""
    return f"{ARTIFACTS}/{job_id}/{fencing_token}/{name}"


class Listed(NamedTuple):
    """A key, or a prefix of several keys, and the time of its write in seconds since the epoch."""

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

        The usual AWS_* variables of the environment hold a bucket's address and credentials.

        Raises:
            ValueError: the URL is of neither form, or the folder can't be made. The message quotes nothing of
                the URL, because a URL may hold a key.
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
                raise ValueError(f"the AWS_* variables do not fit: {first_line(error)}") from None
            return cls(bucket)
        raise ValueError(URL_FORMS)

    def close(self) -> None:
        """Take no more calls; those under way come to their end."""
        self._writers.shutdown(wait=False, cancel_futures=True)
        self._callers.shutdown(wait=False, cancel_futures=True)

    async def put(self, key: str, data: Data) -> Stored:
        """Write an object, or replace one. Readers see the object whole or not at all.

        An error of the data's source is raised here; then, and after a cancellation, nothing of the object is
        left.

        Args:
            data: bytes, the path of a file, or chunks of any size, as they come.
        """
        write = FileWrite(self._objects, key, self._writers, FOLDER_PART if self._folder else PART)
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

        Each piece is requested once the one before was taken, so a slow reader holds nothing open.

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
        """Remove an object, or all objects below a key, with the leftovers of a killed process."""
        await self._call(self._delete, key)

    async def listing(self, prefix: str, depth: int) -> AsyncIterator[list[Listed]]:
        """Keys `depth` steps below a prefix, in batches. An empty folder above that depth is a key too."""
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
                raise unavailable(error) from error

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
    """Refuse an address of the bucket's server that has credentials, or that lets the library panic."""
    for name in ENDPOINTS:
        address = os.environ.get(name, "")
        if "@" in address:
            raise ValueError(f"{name} must hold no user and no password: {CREDENTIALS}")
        if address and not re.match(r"https?://[^/\s]", address):
            raise ValueError(f"{name} must be like https://host:port")


def _walk(folder: Path, key: str, depth: int) -> Iterator[Listed]:
    """The keys below a folder. The library's own list leaves out the leftovers of a killed process."""
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
