"""Bulk changes: cancel or retry the jobs that match filters, or those of a list of ids, in bounded parts."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from api.cursors import encode_cursor, read_cursor, wrong_cursor
from shared.errors import (
    BacklogFull,
    JobAlreadyFinished,
    JobNotFinished,
    JobServerError,
    QueueFull,
    QueueUnavailable,
    QuotaReached,
)
from shared.record import TERMINAL_STATES, JobState
from shared.store.cancel_results import BulkCancelResult
from shared.store.job_list import Cursor, Filters
from shared.store.job_queue import CANCELLED_AT_ONCE, JobQueue
from shared.store.missing_jobs import expired, not_found
from shared.store.missing_shards import REPEAT, partly_done
from shared.stored_record import StoredRecord

SECONDS = 2.0  # of a call: then it answers, and the rest is for the next one
LISTED_AT_ONCE = 100
RETRIED_AT_ONCE = 20
MAX_ERRORS = 100

CANCELLABLE = (JobState.PENDING, JobState.RUNNING)
RETRIED = (JobState.FAILED, JobState.CANCELLED)
"""The states of a bulk retry that names none: completed jobs are repeated only if the request says so."""

REPEATED = ("type", "state", "params", "params_shown", "labels", "webhook", "files", "caller", "version")
"""The fields of a record that its repetition needs."""

REPEAT_WITH_KEY = f"{REPEAT} Keep its Idempotency-Key, so that no job is repeated twice."
ADD_KEY = (
    "Send the request again with an Idempotency-Key: it repeats the jobs of the other shards now, and the "
    "rest if you send it once more when all shards answer. Without a key, jobs would be repeated twice."
)

Retry = Callable[[StoredRecord], Coroutine[None, None, str]]
Place = tuple[JobState, Cursor | None]


@dataclass(slots=True)
class BulkResult:
    """The effect of one part of a bulk change.

    Attributes:
        matched: the jobs that the part has found.
        changed: those of them that it has cancelled or asked to stop, or the number of new jobs.
        next: the place where the next part begins; None at the end.
        job_ids: the new jobs.
        errors: by job id, the reasons why jobs were not changed, MAX_ERRORS at most.
    """

    matched: int = 0
    changed: int = 0
    next: Place | None = None
    job_ids: list[str] = field(default_factory=list)
    errors: dict[str, JobServerError] = field(default_factory=dict)

    def refuse(self, job_id: str, error: JobServerError) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors[job_id] = error


class BulkChanges:
    """Cancels and retries many jobs. Redis is free between two calls at least as long as one takes.

    Args:
        queue: the jobs.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    # -- by filters

    async def cancel(
        self, filters: Filters, after: Place | None = None, *, dry_run: bool = False, seconds: float = SECONDS
    ) -> BulkResult:
        """Cancel the waiting and running jobs that match."""
        result = BulkResult()
        states = (filters.state,) if filters.state else CANCELLABLE
        with self._on_all_shards(result, "matched" if dry_run else "cancelled"):
            async for (state, _), ids in self._matching(
                result, filters, states, after, seconds, LISTED_AT_ONCE
            ):
                for part in () if dry_run else parts_of(ids, CANCELLED_AT_ONCE):
                    await self._cancel_part(result, part, state)
        return result

    async def retry(
        self,
        filters: Filters,
        retry: Retry,
        after: Place | None = None,
        *,
        repeatable: bool = True,
        dry_run: bool = False,
    ) -> BulkResult:
        """Repeat the ended jobs that match.

        Args:
            retry: submits the repetition of a job; returns the id of the new one.
            repeatable: whether a second call repeats no job twice. One that is not, and meets a missing
                shard, goes no further: its caller has to call again.
        """
        result = BulkResult()
        states = (filters.state,) if filters.state else RETRIED
        size = LISTED_AT_ONCE if dry_run else RETRIED_AT_ONCE
        hint = REPEAT_WITH_KEY if repeatable else ADD_KEY
        with self._on_all_shards(result, "matched" if dry_run else "repeated", hint) as missing:
            async for following, ids in self._matching(result, filters, states, after, SECONDS, size):
                if dry_run:
                    continue
                if missing and not repeatable:
                    break
                if not await self._retry_part(result, ids, retry):
                    result.next = following
                    break
        return result

    # -- by ids

    async def cancel_ids(self, ids: Sequence[str], *, dry_run: bool = False) -> BulkResult:
        """Cancel these jobs, those that wait or run."""
        result = BulkResult()
        if dry_run:
            await self._look(result, ids, JobAlreadyFinished, lambda state: state in CANCELLABLE)
            return result
        with self._on_all_shards(result, "cancelled") as missing:
            missing.clear()  # those that do not matter to these ids
            for part in parts_of(ids, CANCELLED_AT_ONCE):
                await self._cancel_part(result, part)
        result.matched = result.changed
        return result

    async def retry_ids(self, ids: Sequence[str], retry: Retry, *, dry_run: bool = False) -> BulkResult:
        """Repeat these jobs, those that have ended."""
        result = BulkResult()
        with self._on_all_shards(result, "repeated", REPEAT_WITH_KEY) as missing:
            missing.clear()
            ended = await self._look(result, ids, JobNotFinished, lambda state: state in TERMINAL_STATES)
            for part in () if dry_run else parts_of(ended, RETRIED_AT_ONCE):
                await self._retry_part(result, part, retry)
        return result

    # -- parts

    @contextmanager
    def _on_all_shards(self, result: BulkResult, effect: str, hint: str = REPEAT) -> Iterator[set[int]]:
        """The shards that were missing within the block.

        Raises:
            QueueUnavailable: there are some; the error names them, and the effect on the others.
        """
        shards = self._queue.missing
        with shards.noted() as missing:
            try:
                yield missing
            except QueueUnavailable:
                if len(missing) in (0, shards.count):
                    raise
        if missing:
            count = result.matched if effect == "matched" else result.changed
            raise partly_done(missing, shards.count, f"Jobs of the others that were {effect}: {count}.", hint)

    async def _matching(
        self,
        result: BulkResult,
        filters: Filters,
        states: Sequence[JobState],
        after: Place | None,
        seconds: float,
        size: int,
    ) -> AsyncGenerator[tuple[Place, list[str]], None]:
        """The ids of matching jobs, by state, each part with the place after it, until all are found or the
        time is over; counts them in `result`."""
        end = time.monotonic() + seconds
        first, cursor = after or (states[0], None)
        for state in states[states.index(first) :]:
            narrowed = replace(filters, state=state)
            while True:
                began = time.monotonic()
                page = await self._queue.page(narrowed, limit=size, after=cursor, payload=None)
                ids = [record.job_id for record in page.records]
                result.matched += len(ids)
                cursor = page.next
                yield (state, cursor), ids
                if cursor is None:
                    break
                if time.monotonic() > end:
                    result.next = (state, cursor)
                    return
                await asyncio.sleep(min(time.monotonic() - began, 0.01))

    async def _cancel_part(
        self, result: BulkResult, ids: Sequence[str], state: JobState | None = None
    ) -> None:
        began = time.monotonic()
        effects = await self._queue.cancel_all(ids, state)
        for job_id, effect in zip(ids, effects, strict=True):
            if effect in (BulkCancelResult.CANCELLED, BulkCancelResult.CANCELLING):
                result.changed += 1
            elif effect is BulkCancelResult.MISSING:
                result.refuse(job_id, not_found(job_id))
            elif effect is BulkCancelResult.EXPIRED:
                result.refuse(job_id, expired(job_id))
            elif state is None and effect is not BulkCancelResult.AWAY:
                result.refuse(job_id, JobAlreadyFinished("The job had ended before."))
        await asyncio.sleep(time.monotonic() - began)  # for the calls of workers and other requests

    async def _retry_part(self, result: BulkResult, ids: Sequence[str], retry: Retry) -> bool:
        """Repeat some jobs; false if a queue is full."""
        records = await self._queue.several(ids, REPEATED)
        found = [record for record in records if record.fields]
        answers = await asyncio.gather(*map(retry, found), return_exceptions=True)
        for record, answer in zip(found, answers, strict=True):
            if isinstance(answer, str):
                result.changed += 1
                result.job_ids.append(answer)
            elif isinstance(answer, JobServerError) and not isinstance(answer, QueueUnavailable):
                result.refuse(record.job_id, answer)
            elif not isinstance(answer, QueueUnavailable) or not answer.details:  # they name missing shards
                raise answer
        return not any(isinstance(answer, QueueFull | BacklogFull | QuotaReached) for answer in answers)

    async def _look(
        self,
        result: BulkResult,
        ids: Sequence[str],
        refusal: type[JobServerError],
        may_change: Callable[[JobState], bool],
    ) -> list[str]:
        """Ids whose jobs may change; the reasons of the others go into `result`."""
        chosen = []
        for record in await self._queue.several(ids, ("state",)):
            if not record.fields:
                result.refuse(record.job_id, not_found(record.job_id))
            elif not may_change(record.state):
                result.refuse(record.job_id, refusal(f"The job is {record.state}."))
            else:
                chosen.append(record.job_id)
        result.matched = len(chosen)
        return chosen


def parts_of(ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [ids[at : at + size] for at in range(0, len(ids), size)]


def encode_place(place: Place | None) -> str | None:
    """The cursor that clients get for a place."""
    return encode_cursor(place[1], place[0]) if place and place[1] else None


def decode_place(cursor: str | None, filters: Filters, states: Sequence[JobState]) -> Place | None:
    """The place that a cursor encodes. Raises InvalidRequest."""
    if cursor is None:
        return None
    state, place = read_cursor(cursor)
    if state not in ((filters.state,) if filters.state else states):
        raise wrong_cursor()
    return JobState(state), place
