"""Models of queues and workers, as they are at the time of the response."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from client.models.record import Record, pick


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause of a queue: the caller who paused it, since when, and the reason; `by` is None without keys."""

    by: str | None
    at: datetime
    reason: str

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(record["by"], datetime.fromisoformat(record["at"]), record.get("reason") or "")


@dataclass(frozen=True, slots=True)
class EndedJobs:
    """Numbers of jobs that ended, by their outcome."""

    completed: int
    failed: int
    cancelled: int

    @property
    def total(self) -> int:
        return self.completed + self.failed + self.cancelled

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(**pick(record, cls.__slots__))


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """A queue: its jobs, its workers, and whether it is paused. A queue that nobody knows has zeros.

    Attributes:
        ready: number of jobs that could start now.
        scheduled: number of jobs that are due later.
        backlog: `ready` and `running` together.
        demand: number of jobs that need workers: `backlog`, or `running` while the queue is paused.
        oldest_wait_seconds: time for which the first ready job has been due.
        workers: number of live workers that serve the queue.
        concurrency: number of jobs that these workers run at once; they may serve other queues too.
        paused: no worker claims jobs from the queue; running jobs go on.
        raw: the whole record, with the fields of newer servers.
    """

    name: str
    ready: int
    scheduled: int
    running: int
    backlog: int
    demand: int
    oldest_wait_seconds: float
    workers: int
    concurrency: int
    paused: bool
    pause: Pause | None
    ended_last_minute: EndedJobs
    raw: Record = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(
            name=record["name"],
            ready=record["ready"],
            scheduled=record["scheduled"],
            running=record["running"],
            backlog=record["backlog"],
            demand=record["demand"],
            oldest_wait_seconds=record["oldest_wait_seconds"],
            workers=record["workers"],
            concurrency=record["concurrency"],
            paused=record["paused"],
            pause=record["pause"] and Pause.from_record(record["pause"]),
            ended_last_minute=EndedJobs.from_record(record["ended_last_minute"]),
            raw=record,
        )

    @classmethod
    def from_list(cls, found: Record) -> list[Self]:
        return list(map(cls.from_record, found["items"]))


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that a worker runs."""

    job_id: str
    type: str
    queue: str
    started_at: datetime

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(
            record["job_id"], record["type"], record["queue"], datetime.fromisoformat(record["started_at"])
        )


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A live worker: where it runs, what it serves, and what it runs.

    Attributes:
        release: the version of its code.
        queues: the queues that it serves, in strict order.
        concurrency: number of jobs that it runs at once.
        running: number of jobs that it runs now.
        jobs: the running jobs, 100 at most.
        models: the models of its job types, as `GET /server/info` shows them.
        memory_bytes: resident memory; 0 where the system does not tell it.
        seen_at: time of its last heartbeat.
        lease_seconds_left: time after which its jobs are rescued, unless a heartbeat comes.
        raw: the whole record, with the fields of newer servers.
    """

    worker_id: str
    host: str
    pid: int
    release: str
    queues: tuple[str, ...]
    concurrency: int
    running: int
    jobs: tuple[RunningJob, ...]
    models: tuple[Mapping[str, Any], ...]
    memory_bytes: int
    started_at: datetime
    seen_at: datetime
    lease_seconds_left: float
    raw: Record = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(
            worker_id=record["worker_id"],
            host=record["host"],
            pid=record["pid"],
            release=record["release"],
            queues=tuple(record["queues"]),
            concurrency=record["concurrency"],
            running=record["running"],
            jobs=tuple(map(RunningJob.from_record, record["jobs"])),
            models=tuple(record["models"]),
            memory_bytes=record["memory_bytes"],
            started_at=datetime.fromisoformat(record["started_at"]),
            seen_at=datetime.fromisoformat(record["seen_at"]),
            lease_seconds_left=record["lease_seconds_left"],
            raw=record,
        )

    @classmethod
    def from_list(cls, found: Record) -> list[Self]:
        return list(map(cls.from_record, found["items"]))
