"""Models of the service's figures: jobs by state, history, job types; and the events that carry them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from client.models.jobs import Job
from client.models.queues import QueueStatus
from client.models.record import Record, optional, read, several, time_of


@dataclass(frozen=True, slots=True)
class Bucket:
    """Numbers of jobs that were submitted, and that ended, in a few seconds from `at` on."""

    at: datetime
    submitted: int
    completed: int
    failed: int
    cancelled: int

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record, at=time_of)


@dataclass(frozen=True, slots=True)
class History:
    """Last 15 minutes.

    Attributes:
        seconds: the length of a bucket.
        buckets: oldest first; those in which nothing happened are left out.
    """

    seconds: float
    buckets: tuple[Bucket, ...]

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record, buckets=several(Bucket.from_record))


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Durations in seconds: half of the jobs took at most `p50`, 99 of 100 at most `p99`."""

    p50: float
    p99: float

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record)


@dataclass(frozen=True, slots=True)
class JobTypeFigures:
    """Figures of a job type, from its last jobs.

    Attributes:
        sampled: number of finished jobs that the figures come from.
        failure_share: failed jobs among them, between 0 and 1; None without any.
        run_seconds: durations of the runs.
        wait_seconds: durations from the due time to the start.
    """

    sampled: int
    completed: int
    failed: int
    failure_share: float | None
    run_seconds: Percentiles | None
    wait_seconds: Percentiles | None

    @classmethod
    def from_record(cls, record: Record) -> Self:
        percentiles = optional(Percentiles.from_record)
        return read(cls, record, run_seconds=percentiles, wait_seconds=percentiles)


@dataclass(frozen=True, slots=True)
class Shards:
    """Shards of Redis, over which the jobs are spread; one without a cluster.

    Attributes:
        missing: the numbers, from 0, of those that do not answer: lists and figures lack their jobs.
    """

    count: int = 1
    missing: tuple[int, ...] = ()

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record, missing=tuple)


ONE_SHARD = Shards()


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of the whole service.

    Attributes:
        jobs: number of jobs by state.
        job_types: figures by the name of the job type.
        shards: the shards of Redis, with those whose jobs are missing in the figures.
        raw: the whole answer, with the fields of newer servers.
    """

    at: datetime
    jobs: Mapping[str, int]
    history: History
    job_types: Mapping[str, JobTypeFigures]
    shards: Shards = field(default=ONE_SHARD, kw_only=True)
    raw: Record = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(
            cls,
            record,
            at=time_of,
            history=History.from_record,
            job_types=_job_types,
            shards=Shards.from_record,
        )


def _job_types(found: Record) -> dict[str, JobTypeFigures]:
    return {name: JobTypeFigures.from_record(figures) for name, figures in found.items()}


# -- events of the service


@dataclass(frozen=True, slots=True)
class WorkerTotals:
    """Live workers together: their number, the jobs that they could run at once, and those that they run."""

    alive: int
    concurrency: int
    running: int

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Figures of the service at one moment; comes once a second.

    Attributes:
        jobs: number of jobs by state.
        buckets: the last two buckets of the history.
        shards: the shards of Redis, with those whose jobs are missing in the figures.
    """

    at: datetime
    jobs: Mapping[str, int]
    queues: tuple[QueueStatus, ...]
    workers: WorkerTotals
    buckets: tuple[Bucket, ...]
    shards: Shards = field(default=ONE_SHARD, kw_only=True)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(
            cls,
            record,
            at=time_of,
            queues=several(QueueStatus.from_record),
            workers=WorkerTotals.from_record,
            buckets=several(Bucket.from_record),
            shards=Shards.from_record,
        )


@dataclass(frozen=True, slots=True)
class Sampled:
    """Changes of jobs that were left out, because there were too many of them."""

    missed: int

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record)


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Failure of the server to read its figures, as while Redis does not answer; events go on after that."""

    code: str
    message: str
    hint: str

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record)


ServiceEvent = Snapshot | Job | Sampled | Unavailable
