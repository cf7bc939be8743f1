"""Workers: what each of them runs."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.ownership import require_all_read
from api.routes.server import ModelInfo
from api.state import state_of
from shared.store.workers import LiveWorker, RunningJob

MOST_JOBS = 100  # of a worker

router = APIRouter(tags=["workers"])


class WorkerJob(BaseModel):
    """A job that a worker runs."""

    job_id: str
    type: str
    queue: str
    started_at: datetime


class WorkerStatus(BaseModel):
    worker_id: str
    host: str
    pid: int
    release: Annotated[str, Field(description="The version of its code; empty for one before 0.2.")]
    queues: list[str]
    concurrency: Annotated[int, Field(description="Jobs it runs at once.")]
    running: int
    jobs: Annotated[list[WorkerJob], Field(description=f"The jobs that it runs, {MOST_JOBS} at most.")]
    models: Annotated[list[ModelInfo], Field(description="The models of its job types.")]
    memory_bytes: Annotated[int, Field(description="Resident; 0 where the system does not tell it.")]
    started_at: datetime
    seen_at: Annotated[datetime, Field(description="Its last heartbeat.")]
    lease_seconds_left: Annotated[
        float, Field(description="Until it counts as dead without another heartbeat.")
    ]

    @classmethod
    def of(cls, worker: LiveWorker, jobs: list[RunningJob]) -> "WorkerStatus":
        return cls(
            worker_id=worker.worker_id,
            host=worker.host,
            pid=worker.pid,
            release=worker.release,
            queues=list(worker.queues),
            concurrency=worker.slots,
            running=worker.running,
            jobs=[
                WorkerJob(
                    job_id=job.job_id, type=job.type, queue=job.queue, started_at=_time(job.started_at / 1000)
                )
                for job in jobs[:MOST_JOBS]
            ],
            models=[ModelInfo.model_validate(model) for model in worker.models],
            memory_bytes=worker.memory,
            started_at=_time(worker.started_at),
            seen_at=_time(worker.seen_at),
            lease_seconds_left=worker.lease,
        )


class WorkerList(BaseModel):
    items: list[WorkerStatus]
    incomplete: Annotated[
        bool, Field(description="Whether running jobs are missing, because a shard of Redis does not answer.")
    ]


@router.get("/workers")
async def list_workers(request: Request) -> WorkerList:
    """The live workers, with the jobs that each of them runs."""
    require_all_read(request)
    queue = state_of(request).queue
    with queue.missing.noted() as missing:
        workers, running = await queue.workers(), await queue.running_jobs()
    jobs: dict[str, list[RunningJob]] = {}
    for job in running:
        jobs.setdefault(job.worker_id, []).append(job)
    return WorkerList(
        items=[WorkerStatus.of(worker, jobs.get(worker.worker_id, [])) for worker in workers],
        incomplete=bool(missing),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
