"""Models of queues and workers, as they are at the time of the response."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from client.models.record import Record, optional, read, several, time_of


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause of a queue: the caller who paused it, since when, and the reason; `by` is None without keys."""

    by: str | None
    at: datetime
    reason: str = ""

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record, at=time_of)


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
        return read(cls, record)


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
        incomplete: jobs are missing in the numbers, because a shard of Redis does not answer.
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
    incomplete: bool = field(default=False, kw_only=True)
    raw: Record = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        pause = optional(Pause.from_record)
        return read(cls, record, pause=pause, ended_last_minute=EndedJobs.from_record)

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
        return read(cls, record, started_at=time_of)


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
        return read(
            cls,
            record,
            queues=tuple,
            jobs=several(RunningJob.from_record),
            models=tuple,
            started_at=time_of,
            seen_at=time_of,
        )


class WorkerList(list[WorkerStatus]):
    """Live workers.

    Attributes:
        incomplete: running jobs are missing, because a shard of Redis does not answer.
    """

    def __init__(self, workers: Iterable[WorkerStatus] = (), *, incomplete: bool = False) -> None:
        super().__init__(workers)
        self.incomplete = incomplete

    @classmethod
    def from_record(cls, record: Record) -> Self:
        workers = map(WorkerStatus.from_record, record["items"])
        return cls(workers, incomplete=record.get("incomplete", False))
