"""Models of the service's figures: jobs by state, history, job types; and the events that carry them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from client.models.jobs import Job
from client.models.queues import QueueStatus
from client.models.record import Record, pick


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
        return cls(**pick(record, cls.__slots__) | {"at": datetime.fromisoformat(record["at"])})


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
        return cls(record["seconds"], tuple(map(Bucket.from_record, record["buckets"])))


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Durations in seconds: half of the jobs took at most `p50`, 99 of 100 at most `p99`."""

    p50: float
    p99: float

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(**pick(record, cls.__slots__))


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
        return cls(
            sampled=record["sampled"],
            completed=record["completed"],
            failed=record["failed"],
            failure_share=record["failure_share"],
            run_seconds=record["run_seconds"] and Percentiles.from_record(record["run_seconds"]),
            wait_seconds=record["wait_seconds"] and Percentiles.from_record(record["wait_seconds"]),
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of the whole service.

    Attributes:
        jobs: number of jobs by state.
        job_types: figures by the name of the job type.
        raw: the whole answer, with the fields of newer servers.
    """

    at: datetime
    jobs: Mapping[str, int]
    history: History
    job_types: Mapping[str, JobTypeFigures]
    raw: Record = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        types = record["job_types"].items()
        return cls(
            at=datetime.fromisoformat(record["at"]),
            jobs=record["jobs"],
            history=History.from_record(record["history"]),
            job_types={name: JobTypeFigures.from_record(figures) for name, figures in types},
            raw=record,
        )


# -- events of the service


@dataclass(frozen=True, slots=True)
class WorkerTotals:
    """Live workers together: their number, the jobs that they could run at once, and those that they run."""

    alive: int
    concurrency: int
    running: int

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(**pick(record, cls.__slots__))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Figures of the service at one moment; comes once a second.

    Attributes:
        jobs: number of jobs by state.
        buckets: the last two buckets of the history.
    """

    at: datetime
    jobs: Mapping[str, int]
    queues: tuple[QueueStatus, ...]
    workers: WorkerTotals
    buckets: tuple[Bucket, ...]

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(
            at=datetime.fromisoformat(record["at"]),
            jobs=record["jobs"],
            queues=tuple(map(QueueStatus.from_record, record["queues"])),
            workers=WorkerTotals.from_record(record["workers"]),
            buckets=tuple(map(Bucket.from_record, record["buckets"])),
        )


@dataclass(frozen=True, slots=True)
class Sampled:
    """Changes of jobs that were left out, because there were too many of them."""

    missed: int

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(record["missed"])


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Failure of the server to read its figures, as while Redis does not answer; events go on after that."""

    code: str
    message: str
    hint: str

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(**pick(record, cls.__slots__))


ServiceEvent = Snapshot | Job | Sampled | Unavailable
