"""What goes into the store and comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from shared.record import JobState, StoredRecord
from shared.store.client import Argument


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds for which a finished job can be read, by how it ended."""

    completed: int = 86400
    failed: int = 604800
    cancelled: int = 86400


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


class FileQuota(NamedTuple):
    """The bounds of one caller's uploaded files, each 0 for none.

    Attributes:
        caller: the name of the caller.
        files: how many are kept.
        total_bytes: their bytes together.
    """

    caller: str
    files: int
    total_bytes: int


class CancelResult(StrEnum):
    """What a request to cancel came to."""

    CANCELLED = "cancelled"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    CHANGED = "changed"


class OutcomeKind(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    RETRY = "retry"
    CANCELLED = "cancelled"
    RELEASED = "released"


class Outcome(NamedTuple):  # as are those below that every job needs: half the price of a frozen dataclass
    """The end of one attempt.

    Attributes:
        kind: what becomes of the job.
        body: JSON: the result (completed) or the error (failed, retry); else empty.
        delay: milliseconds until the job is due again (retry, released).
    """

    kind: OutcomeKind
    body: bytes = b""
    delay: int = 0


class Claim(NamedTuple):
    """A job that this worker holds a lease for.

    Attributes:
        fencing_token: the number of this claim of the job, counted from 1 and never repeated.
        attempt: which attempt it is, as the record shows it.
        message: arq's message.
        params: the record's params, JSON.
        lease: the worker's lease, `fencing_token:job_id`.
    """

    queue: str
    job_id: str
    fencing_token: int
    attempt: int
    max_attempts: int
    message: bytes
    params: bytes
    request_id: str
    lease: str


class Lease(NamedTuple):
    """A lease to renew: its queue, and `fencing_token:job_id`."""

    queue: str
    lease: str


class Finished(NamedTuple):
    """An attempt's end on its way to Redis.

    Attributes:
        progress: the last one, JSON; empty if there is none.
        lines: what the job's log lacks, as `Line.encode` writes it, joined by newlines.
        artifacts: the files that it made, JSON; empty if there are none.
    """

    claim: Claim
    outcome: Outcome
    progress: bytes = b""
    lines: bytes = b""
    artifacts: bytes = b""


class AttemptReport(NamedTuple):
    """News of a running attempt; `progress` and `lines` as in `Finished`."""

    claim: Claim
    progress: bytes = b""
    lines: bytes = b""


class Log(NamedTuple):
    """Some of a job's log: how many lines were written in all, and those asked for, each a JSON object.

    A line has its number `seq`, the record's `version` that came with it, `at` in milliseconds since the
    epoch, and the `attempt`, `message` and `fields` that the worker gave it.
    """

    total: int
    lines: list[bytes]


class Step(NamedTuple):
    """What one step came to.

    Attributes:
        wait: seconds until something of the worker's queues wants attention; None if nothing is known.
        accepted: per finished attempt, whether its outcome counts; False if the lease was lost.
        rescued: ids of jobs whose lease ran out.
        claims: the jobs to run now.
    """

    wait: float | None
    accepted: list[bool]
    rescued: list[str]
    claims: list[Claim]


class Upkeep(NamedTuple):
    """Outcome of one upkeep.

    Attributes:
        lease: seconds that the workers' leases hold.
        rescued: ids of jobs whose lease ran out.
        repaired: ids of jobs that were lost, each with what was wrong.
    """

    lease: float
    rescued: list[str]
    repaired: dict[str, str]


@dataclass(frozen=True, slots=True)
class QueueCounts:
    waiting: int
    running: int


class Entry(NamedTuple):
    """A job as it goes into the store.

    Attributes:
        message: arq's message.
        fields: what the record begins with, besides what the store itself keeps.
        due: milliseconds since the epoch, or 0: at once.
        delay: milliseconds to wait besides.
        start_within: milliseconds after it is due in which it must start; 0: any time.
        idempotency_key: `caller:key`, or empty.
        digest: hexadecimal; tells whether a request with the same key asks for the same.
        files: ids of the uploaded files that the job names.
    """

    job_id: str
    queue: str
    message: bytes
    fields: Mapping[str, Argument]
    due: int = 0
    delay: int = 0
    start_within: int = 0
    idempotency_key: str = ""
    digest: str = ""
    files: Sequence[str] = ()


class Submitted(NamedTuple):
    """A job that was accepted; now, or before with the same idempotency key."""

    record: StoredRecord
    replayed: bool


@dataclass(frozen=True, slots=True)
class Filters:
    """Which jobs to list: those that match everything that is given."""

    state: JobState | None = None
    type: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    caller: str = ""


Cursor = tuple[str, str]
"""The end of a page: a score and an id of the index."""


class Page(NamedTuple):
    """Some jobs, and where to go on; None at the end."""

    records: list[StoredRecord]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as it shows itself to others."""

    worker_id: str
    host: str
    pid: int
    queues: Sequence[str]
    slots: int
    started_at: float
