"""Submissions: new jobs, as the script `submit` takes them, and its answers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from shared.errors import (
    BacklogFull,
    IdempotencyConflict,
    JobServerError,
    QueueFull,
    QueueUnavailable,
    QuotaReached,
)
from shared.ids import new_job_id
from shared.job_type import JobType
from shared.store import redis_keys
from shared.store.client import Argument
from shared.store.file_records import unknown_file
from shared.store.missing_jobs import key_expired
from shared.store.redis_calls import as_dict, milliseconds
from shared.store.rows import SubmissionRow
from shared.stored_record import StoredRecord
from shared.traces.context import TraceContext

IDEMPOTENCY_SECONDS = 86400
UNFINISHED = {
    b"busy": "Another request with this Idempotency-Key is being accepted.",
    b"lost": "Redis was too slow, or away, before the whole batch was written; no job of it was accepted.",
}
LARGE = [b"large"]  # in place of a record's fields and values


@dataclass(slots=True)  # not frozen: that would double the time to make one
class NewJob:
    """A job on its way into the store.

    Attributes:
        job_type: its type.
        params: validated params as the handler gets them, JSON.
        request_id: the id of the request that submits the job; the worker's log lines show it.
        caller: the name of the API key of the request, if it has one.
        idempotency_key: two submissions of a caller with the same key make one job.
        labels: names and values that lists can be filtered by.
        run_at: the earliest time of its start.
        delay_seconds: the shortest time from now to its start.
        start_within_seconds: the job fails unless it starts within this time of being due.
        retry_of: the finished job that it repeats.
        webhook: the address that gets the record once the job has ended.
        files: ids of the uploaded files that the params name.
        params_shown: the params as clients see them, if that form differs.
        trace: the trace context of the request.
        job_id: its id; a submission with the id of an accepted job is a repeat, and changes nothing.
    """

    job_type: JobType[Any, Any]
    params: bytes
    request_id: str
    caller: str | None = None
    idempotency_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    run_at: datetime | None = None
    delay_seconds: float | None = None
    start_within_seconds: float | None = None
    retry_of: str | None = None
    webhook: str | None = None
    files: Sequence[str] = ()
    params_shown: bytes = b""
    trace: TraceContext | None = None
    job_id: str = field(default_factory=new_job_id)


class JobQuota(NamedTuple):
    """The bounds of one caller's jobs, each 0 for none.

    Attributes:
        caller: the name of the caller.
        waiting: jobs that wait for a worker.
        kept_bytes: bytes of the params and results that are kept.
    """

    caller: str
    waiting: int
    kept_bytes: int


class Submitted(NamedTuple):
    """A job that was accepted: now, or earlier with the same idempotency key."""

    record: StoredRecord
    replayed: bool


class EncodedJob(NamedTuple):
    """A new job as the script takes it: its row, and the further fields of its record."""

    row: SubmissionRow
    fields: dict[str, Argument]


def encode(job: NewJob, max_waiting: int) -> EncodedJob:
    fields = _fields(job)
    row = SubmissionRow(
        job.job_id,
        job.job_type.name,
        job.job_type.queue,
        milliseconds(job.run_at.timestamp()) if job.run_at else 0,
        milliseconds(job.delay_seconds or 0),
        _start_within(job),
        max_waiting,
        f"{redis_keys.IDEMPOTENCY}{job.caller or '-'}:{job.idempotency_key}" if job.idempotency_key else "",
        _digest(job) if job.idempotency_key else "",
        IDEMPOTENCY_SECONDS,
        " ".join(job.files),
        2 * len(fields),
    )
    return EncodedJob(row, fields)


def words_of(jobs: Iterable[EncodedJob]) -> list[Argument]:
    """The arguments of the scripts for these jobs."""
    words: list[Argument] = []
    for job in jobs:
        words += job.row
        for pair in job.fields.items():
            words += pair
    return words


def quota_word(quota: JobQuota | None) -> str:
    """The argument of the scripts for a caller's quota."""
    return " ".join(map(str, quota)) if quota else ""


def accepted(encoded: EncodedJob, status: bytes, *answer: Any) -> Submitted:
    """A job of an accepted submission; the large record of a replayed one has no fields yet."""
    if status == b"replayed":
        job_id, pairs = answer
        return Submitted(
            StoredRecord(job_id.decode(), {} if pairs == LARGE else as_dict(pairs)), replayed=True
        )
    created_at, run_at, start_by, paused = map(_bytes, answer)
    stored = {name.encode(): _bytes(value) for name, value in encoded.fields.items()}
    stored |= {
        b"type": encoded.row.type.encode(),
        b"state": b"pending",
        b"queue": encoded.row.queue.encode(),
        b"version": b"1",
        b"created_at": created_at,
    }
    if run_at:
        stored[b"run_at"] = run_at
    if start_by:
        stored[b"start_by"] = start_by
    if paused == b"1":
        stored[b"queue_paused"] = paused
    return Submitted(StoredRecord(encoded.row.job_id, stored), replayed=False)


def refusal(status: bytes, answer: Sequence[Any], quota: JobQuota | None) -> JobServerError:
    """The error of a submission that was not accepted."""
    if status == b"full":
        queue, waiting = answer
        return QueueFull(f"The queue {queue.decode()!r} is full; waiting jobs: {waiting}.")
    if quota and status == b"backlog":
        return _backlog_full(quota, *map(int, answer))
    if quota and status == b"kept":
        return _quota_reached(quota, *map(int, answer))
    if status in (b"busy", b"lost"):
        return QueueUnavailable(UNFINISHED[status])
    word: str = answer[0].decode()
    if status == b"missing":
        return unknown_file(word)
    if status == b"conflict":
        return IdempotencyConflict(f"This Idempotency-Key was used before, with another request: job {word}.")
    return key_expired(word)


def _fields(job: NewJob) -> dict[str, Argument]:
    fields: dict[str, Argument] = {
        "params": job.params,
        "max_attempts": job.job_type.max_attempts,
        "request_id": job.request_id,
    }
    if job.params_shown:
        fields["params_shown"] = job.params_shown
    if job.labels:
        fields["labels"] = orjson.dumps(job.labels)
    if job.caller:
        fields["caller"] = job.caller
    if job.retry_of:
        fields["retry_of"] = job.retry_of
    if job.webhook:
        fields["webhook"] = job.webhook
    if job.files:
        fields["files"] = " ".join(job.files)
    if job.trace:
        fields["trace"] = job.trace.stored()
    return fields


def _start_within(job: NewJob) -> int:
    """The time to start in milliseconds; 0 for any time, so that the shortest one is 1."""
    return max(milliseconds(job.start_within_seconds), 1) if job.start_within_seconds else 0


def _digest(job: NewJob) -> str:
    """The digest of the work that a request asks for, whatever the request's spelling of it."""
    work = [job.job_type.name, job.params.decode(), dict(job.labels), job.run_at, job.delay_seconds]
    work += [job.start_within_seconds, job.retry_of]
    work += [job.webhook] if job.webhook else []  # without one, as releases before digested it
    return sha256(orjson.dumps(work, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _backlog_full(quota: JobQuota, waiting: int, new: int) -> BacklogFull:
    error = BacklogFull(f"Waiting jobs of this caller: {waiting} of {quota.waiting}; no room for {new} more.")
    if new > quota.waiting:  # there will never be room
        error.hint, error.retryable = f"Submit {quota.waiting} jobs at most in one request.", False
    return error


def _quota_reached(quota: JobQuota, kept: int, new: int) -> QuotaReached:
    most = quota.kept_bytes
    error = QuotaReached(
        f"Bytes of params and results kept for this caller: {kept} of {most}; no room for {new} more.",
        hint="Wait until records of finished jobs expire, or send less; the operator sets the quota.",
    )
    if new > most:  # there will never be room
        error.hint = f"Send params of {most} bytes at most in one request; the operator sets the quota."
        error.retryable = False
    return error


def _bytes(value: Argument) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
