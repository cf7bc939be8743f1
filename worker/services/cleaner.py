"""Cleaner: removes files of no further use from the file store, and temporary files of dead workers.

A sweep may be stopped at any point, and repeated.
"""

import asyncio
import time
from contextlib import suppress
from typing import NamedTuple

from shared.errors import QueueUnavailable, StorageUnavailable
from shared.files import ARTIFACTS, UPLOADS, FileStore, upload_key
from shared.logging import get_log
from shared.store.file_records import FileRecords
from worker.scratch import sweep_scratch

UPLOAD_SECONDS = 3600.0  # after which a file without a record is the rest of an interrupted upload
SHARE = 0.9  # of the time between two sweeps, during which no other worker sweeps

log = get_log(__name__)


class Swept(NamedTuple):
    """The numbers of removed things: attempts or jobs with their artifacts; uploads; rests of uploads."""

    artifacts: int
    uploads: int
    leftovers: int


class Cleaner:
    """Sweeps the file store every so many seconds, unless another worker has just done so."""

    def __init__(self, records: FileRecords, files: FileStore, seconds: float) -> None:
        self._records = records
        self._files = files
        self._seconds = seconds

    async def run(self) -> None:
        await asyncio.to_thread(sweep_scratch)
        while True:
            with suppress(QueueUnavailable, StorageUnavailable):  # logged elsewhere; the next sweep goes on
                if await self._records.may_sweep(self._seconds * SHARE):
                    swept = await sweep(self._records, self._files)
                    if any(swept):
                        log.info("files removed", **swept._asdict())
            await asyncio.sleep(self._seconds)


async def sweep(records: FileRecords, files: FileStore) -> Swept:
    """Remove all files that no record needs. Raises QueueUnavailable, StorageUnavailable."""
    return Swept(
        artifacts=await _sweep_artifacts(records, files),
        uploads=await _prune_uploads(records, files),
        leftovers=await _sweep_uploads(records, files),
    )


async def _sweep_artifacts(records: FileRecords, files: FileStore) -> int:
    removed = 0
    async for batch in files.listing(ARTIFACTS, 2):
        found = [listed.key for listed in batch]
        first_of_use = await records.oldest_useful_tokens({key.split("/")[1] for key in found})
        for key in sorted({useless for key in found if (useless := _useless(key, first_of_use))}):
            await files.delete(key)
            removed += 1
    return removed


def _useless(key: str, first_of_use: dict[str, float | None]) -> str | None:
    """The key to remove for `jobs/<job_id>/<claim>`: that of the job, that of the claim, or None."""
    _, job_id, *claim = key.split("/")
    first = first_of_use[job_id]
    if first is None:
        return f"{ARTIFACTS}/{job_id}"
    return key if claim and not (claim[0].isdecimal() and int(claim[0]) >= first) else None


async def _prune_uploads(records: FileRecords, files: FileStore) -> int:
    removed, more = 0, True
    while more:
        pruned, more = await records.prune()
        for file_id in pruned:
            await files.delete(upload_key(file_id))
        removed += len(pruned)
    return removed


async def _sweep_uploads(records: FileRecords, files: FileStore) -> int:
    removed = 0
    async for batch in files.listing(UPLOADS, 1):
        old = {
            found.key: _file_id(found.key) for found in batch if found.written < time.time() - UPLOAD_SECONDS
        }
        unknown = await records.unknown(old.values())
        for key in [key for key, file_id in old.items() if file_id in unknown]:
            await files.delete(key)
            removed += 1
    return removed


def _file_id(key: str) -> str:
    """In a folder, `#` and a number follow the id of a file that was not written to its end."""
    return key.removeprefix(f"{UPLOADS}/").partition("#")[0]
