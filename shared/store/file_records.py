"""Records of uploaded files in Redis, and the files in the store that a job still needs."""

import asyncio
import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from shared.errors import FileInUse, FileNotFound, QuotaReached, UnknownFile
from shared.file_writing import Stored
from shared.job_type import FILE_ID
from shared.record import JobState
from shared.store import redis_keys, scripts
from shared.store.client import Argument, Runner
from shared.store.redis_calls import RedisCalls, milliseconds

PRUNED_AT_ONCE = 100
FULL = "Delete files that no job needs, or wait until some expire; the operator sets the quota."
LOOK_SECONDS = 60  # until the next look at a file that a job still needs


class FileQuota(NamedTuple):
    """The bounds of one caller's uploaded files, each 0 for none.

    Attributes:
        caller: the name of the caller.
        files: the number of files that are kept.
        total_bytes: their bytes together.
    """

    caller: str
    files: int
    total_bytes: int


class FileRecord(NamedTuple):
    """An uploaded file.

    Attributes:
        name: the name that the client gave it, if any.
        size: in bytes.
        sha256: in hexadecimal.
        created_at: in milliseconds since the epoch.
        expires_at: in milliseconds since the epoch; the file is kept longer while a job's record names it.
        caller: the name of the API key that uploaded it.
    """

    file_id: str
    name: str | None
    content_type: str
    size: int
    sha256: str
    created_at: int
    expires_at: int
    caller: str | None


class FileRecords:
    """The records of uploaded files. Each method raises QueueUnavailable while Redis can't serve it.

    Args:
        runner: sends commands to Redis.
    """

    def __init__(self, runner: Runner) -> None:
        self._redis = RedisCalls(runner)

    async def add(
        self,
        file_id: str,
        name: str | None,
        content_type: str,
        stored: Stored,
        *,
        retention: int,
        caller: str | None = None,
        quota: FileQuota | None = None,
    ) -> FileRecord:
        """Add the record of a file that is in the store, to be kept for `retention` seconds.

        Args:
            quota: the bounds of the caller's files, if there are any.

        Raises:
            QuotaReached: there is no room for it.
        """
        words: list[Argument] = [*(quota or ("", 0, 0)), stored.size]
        words += ("content_type", content_type, "sha256", stored.sha256)
        if name is not None:
            words += ("name", name)
        if caller is not None:
            words += ("caller", caller)
        first, *rest = await self._redis.run(scripts.FILE_ADD, file_id, retention, *words)
        if quota and first in (b"files", b"bytes"):
            raise _quota_reached(quota, first, int(rest[0]), stored.size)
        return FileRecord(file_id, name, content_type, *stored, first, rest[0], caller)

    async def require_room(self, quota: FileQuota, size: int) -> None:
        """Refuse a file of an announced size before its bytes come.

        Raises:
            QuotaReached: there is no room for it.
        """
        found = await self._redis.command("HMGET", redis_keys.UPLOADS + quota.caller, "count", "bytes")
        files, total = (int(number or 0) for number in found)
        if quota.files and files >= quota.files:
            raise _quota_reached(quota, b"files", files, size)
        if quota.total_bytes and total + size > quota.total_bytes:
            raise _quota_reached(quota, b"bytes", total, size)

    async def get(self, file_id: str, *, owner: str | None = None) -> FileRecord:
        """The record of a file, of the owner's own file if an owner is given. Raises FileNotFound."""
        found = await self._redis.command("HMGET", _key(file_id), *FileRecord._fields[1:])
        name, content_type, size, sha256, created_at, expires_at, caller = found
        if content_type is None or (owner is not None and caller != owner.encode()):
            raise not_found(file_id)
        return FileRecord(
            file_id,
            None if name is None else name.decode(),
            content_type.decode(),
            int(size),
            sha256.decode(),
            int(created_at),
            int(expires_at),
            None if caller is None else caller.decode(),
        )

    async def require_owned(self, file_ids: Iterable[str], owner: str) -> None:
        """Require that the owner uploaded all of the files. Raises UnknownFile.

        A file never changes its owner, so this check and the use of the file may be two calls.
        """
        ids = sorted(set(file_ids))
        callers = await asyncio.gather(
            *(self._redis.command("HGET", redis_keys.FILE + file_id, "caller") for file_id in ids)
        )
        for file_id, caller in zip(ids, callers, strict=True):
            if caller != owner.encode():
                raise unknown_file(file_id)

    async def drop(self, file_id: str, *, owner: str | None = None) -> None:
        """Remove the record of a file, of the owner's own file if an owner is given.

        Raises:
            FileNotFound: there is none.
            FileInUse: a job that is not done names it.
        """
        _key(file_id)
        status, *user = await self._redis.run(scripts.FILE_DROP, file_id, owner or "")
        if status == b"missing":
            raise not_found(file_id)
        if status == b"in use":
            job_id, caller = (word.decode() for word in user)
            shown = f"The job {job_id}" if owner in (None, caller) else "A job of another caller"
            raise FileInUse(f"{shown} needs the file.")

    async def prune(self) -> tuple[list[str], bool]:
        """Remove records of files that have expired; returns their ids, and whether more may have expired."""
        pause = milliseconds(LOOK_SECONDS)
        looked, removed = await self._redis.run(scripts.FILE_PRUNE, PRUNED_AT_ONCE, pause)
        return [file_id.decode() for file_id in removed], looked == PRUNED_AT_ONCE

    async def unknown(self, file_ids: Iterable[str]) -> set[str]:
        """The ids without a record."""
        ids = list(file_ids)
        known = await asyncio.gather(
            *(self._redis.command("EXISTS", redis_keys.FILE + file_id) for file_id in ids)
        )
        return {file_id for file_id, found in zip(ids, known, strict=True) if not found}

    async def oldest_useful_tokens(self, job_ids: Iterable[str]) -> dict[str, float | None]:
        """For each job the oldest fencing token whose artifacts are or will be needed; None without a record.

        A job that waits for its next attempt needs no artifacts of the attempts before. A job that did not
        complete shows none.
        """
        ids = list(job_ids)
        found = await asyncio.gather(
            *(self._redis.command("HMGET", redis_keys.RECORD + job_id, "state", "claims") for job_id in ids)
        )
        return {job_id: _oldest_useful_token(*fields) for job_id, fields in zip(ids, found, strict=True)}

    async def may_sweep(self, seconds: float) -> bool:
        """Whether this process may sweep now: no process has in the last so many seconds."""
        answer = await self._redis.command("SET", redis_keys.SWEEP, "1", "NX", "PX", milliseconds(seconds))
        return answer is not None


def _quota_reached(quota: FileQuota, bound: bytes, used: int, size: int) -> QuotaReached:
    if bound == b"files":
        return QuotaReached(f"Files kept for this caller: {used} of {quota.files}.", hint=FULL)
    error = QuotaReached(
        f"Bytes of files kept for this caller: {used} of {quota.total_bytes}; no room for {size} more.",
        hint=FULL,
    )
    if size > quota.total_bytes:  # there will never be room
        error.hint = f"Send files of {quota.total_bytes} bytes at most; the operator sets the quota."
        error.retryable = False
    return error


def unknown_file(file_id: str) -> UnknownFile:
    return UnknownFile(f"There is no file {file_id!r}.")


def not_found(file_id: str) -> FileNotFound:
    return FileNotFound(f"No file has the id {file_id[:64]!r}.")


def _key(file_id: str) -> str:
    """The key of a file's record. Raises FileNotFound for a malformed id."""
    if not re.fullmatch(FILE_ID, file_id):
        raise not_found(file_id)
    return redis_keys.FILE + file_id


def _oldest_useful_token(state: bytes | None, last_token: bytes | None) -> float | None:
    match state and JobState(state.decode()):
        case None:
            return None
        case JobState.RUNNING | JobState.COMPLETED:
            return int(last_token or 0)
        case JobState.PENDING:
            return int(last_token or 0) + 1
        case _:
            return math.inf
