"""JobQueue: what the API does with jobs."""

import time
from dataclasses import dataclass
from typing import Any

import orjson
from arq.jobs import serialize_job
from uuid_utils import uuid7

from shared.contract import Contract
from shared.record import StoredRecord
from shared.store.client import Argument
from shared.store.job_store import JobStore, Verdict


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that a caller wants done.

    Attributes:
        contract: its type.
        params: validated params, JSON.
        request_id: the request that brought it; it follows the job into the worker's logs.
    """

    contract: Contract[Any, Any]
    params: bytes
    request_id: str


class JobQueue:
    """Submits, reads and cancels jobs.

    Args:
        store: where they are kept.
        max_waiting: jobs that may wait in one queue.
    """

    def __init__(self, store: JobStore, *, max_waiting: int) -> None:
        self.store = store
        self._max_waiting = max_waiting

    async def submit(self, job: NewJob) -> StoredRecord:
        """Accept a job; it is pending, and safe in Redis, when this returns.

        Raises:
            QueueFull: too many jobs wait.
            QueueUnavailable: Redis can't take it now.
        """
        job_id, contract = str(uuid7()), job.contract
        message = serialize_job(
            contract.name, (job_id,), {}, None, time.time_ns() // 1_000_000, serializer=orjson.dumps
        )
        fields: dict[str, Argument] = {
            "type": contract.name,
            "params": job.params,
            "max_attempts": contract.max_attempts,
            "request_id": job.request_id,
        }
        return await self.store.submit(job_id, contract.queue, message, fields, max_waiting=self._max_waiting)

    async def get(self, job_id: str) -> StoredRecord:
        """The job's record. Raises JobNotFound, QueueUnavailable."""
        return await self.store.get(job_id)

    async def cancel(self, job_id: str) -> tuple[Verdict, StoredRecord]:
        """Cancel the job, or ask its worker to. Raises JobNotFound, QueueUnavailable."""
        return await self.store.cancel(job_id)
