"""The server: its version, job types, queues and workers."""

import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.ownership import owner_read
from api.settings import ApiSettings
from api.state import State, state_of
from api.strict_json import MAX_DEPTH, MAX_VALUES
from shared import VERSION
from shared.job_type_loader import names_by_package
from shared.record import JobState
from shared.store import redis_keys
from shared.store.job_queue import JobQueue
from shared.store.missing_shards import MissingShards

NAME = "job-server"
OWN_ONLY = "for a key with the scope `read:own` alone"

router = APIRouter(tags=["server"])


class QueueInfo(BaseModel):
    waiting: Annotated[int, Field(description="Jobs that are due, scheduled, or between two attempts.")]
    running: int


class ModelInfo(BaseModel):
    """A process of a worker that holds the model of a job type."""

    type: str
    device: Annotated[str, Field(description="As `WORKER_DEVICES` names it.")]
    state: Literal["STARTING", "READY", "SETUP_FAILED"]
    since: datetime
    error: Annotated[str, Field(description="The reason of the last failed setup; empty without one.")]


class WorkerInfo(BaseModel):
    worker_id: str
    host: str
    pid: int
    queues: list[str]
    slots: Annotated[int, Field(description="Jobs it runs at once.")]
    running: int
    models: Annotated[list[ModelInfo], Field(description="The models of its job types.")]
    started_at: datetime


class Limits(BaseModel):
    max_body_bytes: int
    max_file_bytes: int
    max_depth: int
    max_values: int
    queue_max_waiting: int


class ShardStatus(BaseModel):
    """The shards of Redis, over which the jobs are spread; one without a cluster."""

    count: int
    missing: Annotated[
        list[int],
        Field(
            description="The numbers, from 0, of those that do not answer. Their jobs are left out of all "
            "lists and numbers."
        ),
    ]

    @classmethod
    def of(cls, shards: MissingShards, missing: Collection[int]) -> "ShardStatus":
        return cls(count=shards.count, missing=sorted(missing))


class ServerInfo(BaseModel):
    name: str
    version: str
    started_at: datetime
    uptime_seconds: float
    job_types: list[str]
    job_type_packages: Annotated[
        dict[str, list[str]], Field(description="The job types of each package in `JOB_TYPES`.")
    ]
    queues: Annotated[dict[str, QueueInfo], Field(description=f"Queues by name; {OWN_ONLY} empty.")]
    webhooks: Annotated[QueueInfo | None, Field(description=f"Webhooks to be delivered; {OWN_ONLY} null.")]
    jobs: Annotated[
        dict[JobState, int],
        Field(description=f"Jobs by state, while their records are kept; {OWN_ONLY} empty."),
    ]
    workers: Annotated[list[WorkerInfo], Field(description=f"The live workers; {OWN_ONLY} empty.")]
    limits: Limits
    shards: ShardStatus


@router.get("/server/info")
async def server_info(request: Request) -> ServerInfo:
    """Version, job types, jobs by state, the length of each queue, and the live workers."""
    state = state_of(request)
    settings, queue = state.settings, state.queue
    sees_all = owner_read(request) is None  # counts and workers reveal other callers' work
    with state.missing.noted() as missing:
        queues = await _queues(state) if sees_all else {}
        webhooks = await _count(queue, redis_keys.WEBHOOKS) if sees_all else None
        jobs = await queue.state_counts() if sees_all else {}
        workers = await _workers(queue) if sees_all else []
    return ServerInfo(
        name=NAME,
        version=VERSION,
        started_at=datetime.fromtimestamp(state.started_at, UTC),
        uptime_seconds=round(time.time() - state.started_at, 3),
        job_types=list(state.job_types),
        job_type_packages=names_by_package(settings.job_types),
        queues=queues,
        webhooks=webhooks,
        jobs=jobs,
        workers=workers,
        limits=_limits(settings),
        shards=ShardStatus.of(state.missing, missing),
    )


def _limits(settings: ApiSettings) -> Limits:
    return Limits(
        max_body_bytes=settings.api_max_body_bytes,
        max_file_bytes=settings.api_max_file_bytes,
        max_depth=MAX_DEPTH,
        max_values=MAX_VALUES,
        queue_max_waiting=settings.queue_max_waiting,
    )


async def _queues(state: State) -> dict[str, QueueInfo]:
    names = sorted({job_type.queue for job_type in state.job_types.values()})
    return {name: await _count(state.queue, name) for name in names}


async def _workers(queue: JobQueue) -> list[WorkerInfo]:
    return [
        WorkerInfo(
            worker_id=worker.worker_id,
            host=worker.host,
            pid=worker.pid,
            queues=list(worker.queues),
            slots=worker.slots,
            running=worker.running,
            models=[ModelInfo.model_validate(model) for model in worker.models],
            started_at=datetime.fromtimestamp(worker.started_at, UTC),
        )
        for worker in await queue.workers()
    ]


async def _count(queue: JobQueue, name: str) -> QueueInfo:
    count = await queue.queue_counts(name)
    return QueueInfo(waiting=count.waiting, running=count.running)
