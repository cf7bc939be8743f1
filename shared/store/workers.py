"""Workers as API and operators see them: the WorkerInfo that each heartbeat writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from shared.store import scripts
from shared.store.redis_calls import RedisCalls, as_dict

MOST_RUNNING = 1000  # jobs, about 4 ms; Redis does nothing else meanwhile


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Name, place and size of one worker process."""

    worker_id: str
    host: str
    pid: int
    queues: Sequence[str]
    slots: int
    started_at: float


class LiveWorker(NamedTuple):
    """A worker whose heartbeat is in time.

    Attributes:
        release: the version of its code; empty for one that is older than this field.
        running: the number of jobs that it runs.
        models: its model hosts: `type`, `device`, `state`, `since` and `error` of each.
        memory: resident bytes of its process; 0 where the system does not tell them.
        started_at, seen_at: seconds since the epoch; seen_at is the time of its last heartbeat.
        lease: seconds until it counts as dead without another heartbeat.
    """

    worker_id: str
    host: str
    pid: int
    release: str
    queues: tuple[str, ...]
    slots: int
    running: int
    models: list[dict[str, Any]]
    memory: int
    started_at: float
    seen_at: float
    lease: float


class RunningJob(NamedTuple):
    """A job that a worker runs; its start in milliseconds since the epoch."""

    worker_id: str
    job_id: str
    type: str
    queue: str
    started_at: int


async def live_workers(redis: RedisCalls) -> list[LiveWorker]:
    """The workers whose heartbeat is in time."""
    now, *found = await redis.run(scripts.WORKERS)
    return [_live_worker(int(now), *worker) for worker in found]


async def running_jobs(redis: RedisCalls) -> list[RunningJob]:
    """Running jobs of all workers, MOST_RUNNING at most."""
    found = await redis.run(scripts.RUNNING, MOST_RUNNING)
    return [
        RunningJob(worker.decode(), job_id.decode(), job_type.decode(), queue.decode(), int(started_at))
        for worker, job_id, job_type, queue, started_at in found
    ]


def _live_worker(now: int, worker_id: bytes, ends: bytes, *pairs: bytes) -> LiveWorker:
    fields = {name.decode(): value.decode() for name, value in as_dict(list(pairs)).items()}
    started_at = float(fields["started_at"])
    return LiveWorker(
        worker_id.decode(),
        fields["host"],
        int(fields["pid"]),
        fields.get("release", ""),
        tuple(fields["queues"].split(",")),
        int(fields["slots"]),
        int(fields["running"]),
        orjson.loads(fields.get("models") or "[]"),
        int(fields.get("memory", 0)),
        started_at,
        int(fields["seen_at"]) / 1000 if "seen_at" in fields else started_at,
        max(float(ends) - now, 0) / 1000,
    )
