"""Figures: jobs by state and time, and the times of each job type."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.ownership import require_all_read
from api.routes.queues import QueueStatus
from api.routes.server import ShardStatus
from api.state import State, state_of
from shared.record import JobState
from shared.store.figures import BUCKET_SECONDS, SAMPLED, Bucket, JobTypeFigures, Times

KEPT_SECONDS = 2.0  # for which the figures of job types serve all requests

router = APIRouter(tags=["server"])


class FiguresBucket(BaseModel):
    """Jobs of ten seconds."""

    at: Annotated[datetime, Field(description="The begin.")]
    submitted: int
    completed: int
    failed: int
    cancelled: int

    @classmethod
    def of(cls, bucket: Bucket) -> "FiguresBucket":
        at, submitted, completed, failed, cancelled = bucket
        return cls(
            at=datetime.fromtimestamp(at / 1000, UTC),
            submitted=submitted,
            completed=completed,
            failed=failed,
            cancelled=cancelled,
        )


class History(BaseModel):
    seconds: Annotated[int, Field(description="The length of a bucket.")]
    buckets: Annotated[
        list[FiguresBucket], Field(description="Of the last 15 minutes, oldest first, empty ones left out.")
    ]


class Percentiles(BaseModel):
    """In seconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, times: Times | None) -> "Percentiles | None":
        return None if times is None else cls(p50=times.p50, p99=times.p99)


class TypeFigures(BaseModel):
    sampled: Annotated[
        int,
        Field(
            description=f"Jobs of it among the {SAMPLED} completed and {SAMPLED} failed ones that ended last."
        ),
    ]
    completed: int
    failed: int
    failure_share: Annotated[float | None, Field(description="From 0 to 1, of the sample.")]
    run_seconds: Annotated[Percentiles | None, Field(description="From the last start to the end.")]
    wait_seconds: Annotated[Percentiles | None, Field(description="From being due to the last start.")]

    @classmethod
    def of(cls, figures: JobTypeFigures) -> "TypeFigures":
        sampled = figures.completed + figures.failed
        return cls(
            sampled=sampled,
            completed=figures.completed,
            failed=figures.failed,
            failure_share=round(figures.failed / sampled, 4) if sampled else None,
            run_seconds=Percentiles.of(figures.run),
            wait_seconds=Percentiles.of(figures.wait),
        )


class ServerFigures(BaseModel):
    at: datetime
    jobs: Annotated[dict[JobState, int], Field(description="Jobs by state, while their records are kept.")]
    history: History
    job_types: dict[str, TypeFigures]
    shards: ShardStatus


class WorkerTotals(BaseModel):
    alive: int
    concurrency: int
    running: int


class LiveFigures(BaseModel):
    """The data of an event `figures`."""

    at: datetime
    jobs: dict[JobState, int]
    queues: list[QueueStatus]
    workers: WorkerTotals
    buckets: Annotated[list[FiguresBucket], Field(description="The last two of the history.")]
    shards: ShardStatus


@router.get("/figures")
async def read_figures(request: Request) -> ServerFigures:
    """The figures that the dashboard shows."""
    require_all_read(request)
    state = state_of(request)
    with state.missing.noted() as missing:
        jobs, history, job_types = await asyncio.gather(
            state.queue.state_counts(), state.figures.history(), state.figures.job_types()
        )
    return ServerFigures(
        at=datetime.now(UTC),
        jobs=jobs,
        history=History(seconds=BUCKET_SECONDS, buckets=[FiguresBucket.of(bucket) for bucket in history]),
        job_types={name: TypeFigures.of(figures) for name, figures in job_types.items()},
        shards=ShardStatus.of(state.missing, missing),
    )


async def live_figures(state: State) -> bytes:
    """The data of an event `figures`, JSON."""
    since = int((time.time() - BUCKET_SECONDS) * 1000)
    with state.missing.noted() as missing:
        jobs, queues, workers, buckets = await asyncio.gather(
            state.queue.state_counts(),
            state.queues.all(),
            state.queue.workers(),
            state.figures.history(since),
        )
    figures = LiveFigures(
        at=datetime.now(UTC),
        jobs=jobs,
        queues=[QueueStatus.of(queue, incomplete=bool(missing)) for queue in queues],
        workers=WorkerTotals(
            alive=len(workers),
            concurrency=sum(worker.slots for worker in workers),
            running=sum(worker.running for worker in workers),
        ),
        buckets=[FiguresBucket.of(bucket) for bucket in buckets],
        shards=ShardStatus.of(state.missing, missing),
    )
    return figures.model_dump_json().encode()
