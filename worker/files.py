"""AttemptFiles: the artifacts and the input files of one attempt, in the file store."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import orjson

from shared.errors import FinalError, RetryableError, StorageUnavailable
from shared.files import ARTIFACT_NAME, MEDIA_TYPE, FileStore, artifact_key, upload_key
from shared.job_type import FILE_ID

MAX_ARTIFACTS = 1000  # the job's record lists all of them
READ_ONLY = 0o400
COPIED_AT_ONCE = 16 << 20  # bytes; between two pieces the attempt may be stopped


class AttemptFiles:
    """Artifacts and inputs of an attempt at a job.

    Args:
        store: the file store.
        job_id: the job.
        fencing_token: that of the claim.
        worker_id: the worker that has the claim. No attempt touches the files of another one: two claims have
            the same fencing token if a fail-over has lost the first of them, but they are of two workers.
        scratch: a folder of this process for copies of inputs.
    """

    def __init__(
        self, store: FileStore, job_id: str, fencing_token: int, worker_id: str, scratch: Path
    ) -> None:
        self._store = store
        self._job_id = job_id
        self._fencing_token = fencing_token
        self._worker_id = worker_id
        self._folder = scratch / f"{job_id}-{fencing_token}"
        self._artifacts: dict[str, dict[str, str | int]] = {}
        self._saving = asyncio.Lock()  # of two files of one name, the list describes the one in the store
        self._fetching = asyncio.Lock()

    async def save(self, name: str, data: bytes | str | Path, content_type: str) -> None:
        """Save a file, to be listed once the job is completed. A second file of a name replaces the first.

        Args:
            name: letters, digits and `. _ -`, 128 at most, the first a letter or a digit.
            data: the file's bytes, or the path of a file to copy.
            content_type: its media type, such as `image/png`.

        Raises:
            FinalError: the name or the media type is invalid, or there are too many artifacts.
            RetryableError: the store is away.
        """
        if not ARTIFACT_NAME.fullmatch(name):
            raise _refused(
                f"{name[:128]!r} can't be the name of an artifact.",
                "Use 1 to 128 letters, digits and . _ - in it, the first a letter or a digit.",
            )
        if not MEDIA_TYPE.fullmatch(content_type):
            raise _refused(f"{content_type[:128]!r} is not a media type.", "Use one like image/png.")
        if len(self._artifacts) == MAX_ARTIFACTS and name not in self._artifacts:
            raise _refused(
                f"An attempt may save {MAX_ARTIFACTS} artifacts.", "Put several files into an archive."
            )
        key = artifact_key(self._job_id, self._fencing_token, self._worker_id, name)
        async with self._saving:
            with _failing():
                stored = await self._store.put(key, Path(data) if isinstance(data, str) else data)
            self._artifacts[name] = {"name": name, "content_type": content_type, **stored._asdict()}

    async def open_input(self, reference: str) -> Path:
        """The path of a copy of an uploaded file, read-only; it is gone once the attempt ends.

        Always a copy, so that no handler, and no decoder that a file has taken over, changes the file that
        other jobs and `GET /files` read.

        Args:
            reference: its `file_id`, as the job's params name it.

        Raises:
            FinalError: there is no such file.
            RetryableError: the store is away.
        """
        if not re.fullmatch(FILE_ID, reference):
            raise _missing(reference)
        key, fetched = upload_key(reference), self._folder / reference
        async with self._fetching:
            try:
                if not fetched.exists():
                    with _failing():
                        await self._fetch(key, fetched)
            except FileNotFoundError:
                raise _missing(reference) from None
        return fetched

    def artifacts_json(self) -> bytes:
        """The artifacts as the record holds them: a JSON list; empty without artifacts."""
        return orjson.dumps(list(self._artifacts.values())) if self._artifacts else b""

    async def close(self) -> None:
        """Remove the copies of inputs."""
        if self._folder.exists():
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _fetch(self, key: str, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb", buffering=0) as file:
            if stored := self._store.local_path(key):
                while await asyncio.to_thread(_copy_piece, stored, file):
                    pass
            else:
                async for piece in self._store.read(key, 0, await self._store.size(key)):
                    await asyncio.to_thread(file.write, piece)
        part.chmod(READ_ONLY)
        part.rename(path)


def _copy_piece(stored: Path, target: FileIO) -> int:
    """Copy the bytes that come next; returns how many, 0 at the end."""
    with stored.open("rb", buffering=0) as source:
        source.seek(target.tell())
        if sys.platform == "linux":
            copied = os.sendfile(target.fileno(), source.fileno(), None, COPIED_AT_ONCE)  # 6 times as fast
        else:
            copied = target.write(source.read(COPIED_AT_ONCE))
    return copied


@contextmanager
def _failing() -> Iterator[None]:
    """Raise RetryableError for a store that is away: the attempt is repeated later."""
    try:
        yield
    except StorageUnavailable as error:
        raise RetryableError(
            error.message, code=error.code, hint="Look whether the store behind ARTIFACTS_URL works."
        ) from error


def _refused(message: str, hint: str) -> FinalError:
    return FinalError(message, code="invalid_artifact", hint=hint)


def _missing(reference: str) -> FinalError:
    return FinalError(
        f"There is no file {reference[:64]!r}.",
        code="file_not_found",
        hint="Upload the file again, and submit a new job that names it.",
    )
