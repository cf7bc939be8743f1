"""Queues: their states, pause, resume and drain."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from api.bodies import read_body
from api.ownership import require_all_read
from api.state import state_of
from shared.record import MAX_TEXT_LENGTH, JobState
from shared.store.job_list import Filters
from shared.store.queues import QueueState

DRAIN_SECONDS = 2.0  # of a call: then it answers, and the rest is for the next one

router = APIRouter(tags=["queues"])

QueueName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The name of a queue.")]


class PauseInfo(BaseModel):
    """A pause of a queue."""

    by: Annotated[str | None, Field(description="The caller; null on a server without keys.")]
    at: datetime
    reason: str


class EndedJobs(BaseModel):
    """Jobs that ended in the last minute, by state."""

    completed: int
    failed: int
    cancelled: int


class QueueStatus(BaseModel):
    name: str
    ready: Annotated[int, Field(description="Jobs that are due.")]
    scheduled: Annotated[int, Field(description="Jobs that wait for their time, as after a failed attempt.")]
    running: int
    backlog: Annotated[int, Field(description="Work for now: `ready` and `running` together.")]
    demand: Annotated[
        int,
        Field(
            description="Work for workers, as an autoscaler needs it: `backlog`, or `running` while paused."
        ),
    ]
    oldest_wait_seconds: Annotated[
        float, Field(description="For which the first of the due jobs has been due; 0 without one.")
    ]
    workers: Annotated[int, Field(description="Live workers that serve the queue.")]
    concurrency: Annotated[int, Field(description="Jobs that these can run at once, together.")]
    paused: Annotated[bool, Field(description="Whether no job of it is claimed. Running jobs go on.")]
    pause: Annotated[PauseInfo | None, Field(description="The pause, if the queue is paused.")]
    ended_last_minute: EndedJobs
    incomplete: Annotated[
        bool,
        Field(
            description="Whether jobs are missing in the numbers, because a shard of Redis does not answer."
        ),
    ]

    @classmethod
    def of(cls, state: QueueState, *, incomplete: bool) -> "QueueStatus":
        pause = state.pause
        return cls(
            name=state.name,
            ready=state.ready,
            scheduled=state.scheduled,
            running=state.running,
            backlog=state.ready + state.running,
            demand=state.running if pause else state.ready + state.running,
            oldest_wait_seconds=state.oldest_wait,
            workers=state.workers,
            concurrency=state.concurrency,
            paused=pause is not None,
            pause=pause
            and PauseInfo(by=pause.by, at=datetime.fromtimestamp(pause.at / 1000, UTC), reason=pause.reason),
            ended_last_minute=EndedJobs.model_validate(state.ended),
            incomplete=incomplete,
        )


class QueueList(BaseModel):
    items: list[QueueStatus]


class PauseRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Annotated[
        str, Field(max_length=MAX_TEXT_LENGTH, description="Shown beside the queue while it is paused.")
    ] = ""


class DrainResult(BaseModel):
    cancelled: Annotated[int, Field(description="Jobs that this call has cancelled.")]
    remaining: Annotated[int, Field(description="Jobs that still wait: call again until there are none.")]


@router.get("/queues")
async def list_queues(request: Request) -> QueueList:
    """The queues of the job types and of live workers, and those that hold jobs or are paused."""
    require_all_read(request)
    state = state_of(request)
    with state.missing.noted() as missing:
        queues = await state.queues.all()
    return QueueList(items=[QueueStatus.of(queue, incomplete=bool(missing)) for queue in queues])


@router.get("/queues/{name}")
async def get_queue(request: Request, name: QueueName) -> QueueStatus:
    """A queue without jobs and workers answers zeros, so that an autoscaler can start its first worker."""
    require_all_read(request)
    state = state_of(request)
    with state.missing.noted() as missing:
        queue = await state.queues.one(name)
    return QueueStatus.of(queue, incomplete=bool(missing))


@router.post("/queues/{name}/pause")
async def pause_queue(request: Request, name: QueueName) -> QueueStatus:
    """After the answer no job of the queue is claimed until it is resumed. Running jobs go on."""
    reason = (await read_body(request, PauseRequest)).reason if await request.body() else ""
    state = state_of(request)
    with state.missing.noted() as missing:
        queue = await state.queues.pause(name, request.scope.get("caller"), reason)
    return QueueStatus.of(queue, incomplete=bool(missing))


@router.post("/queues/{name}/resume")
async def resume_queue(request: Request, name: QueueName) -> QueueStatus:
    """An idle worker starts the first job at once."""
    state = state_of(request)
    with state.missing.noted() as missing:
        queue = await state.queues.resume(name)
    return QueueStatus.of(queue, incomplete=bool(missing))


@router.post("/queues/{name}/drain")
async def drain_queue(request: Request, name: QueueName) -> DrainResult:
    """Cancel all jobs that wait in the queue, scheduled ones too. Running jobs go on."""
    state = state_of(request)
    filters = Filters(state=JobState.PENDING, queue=name)
    done = await state.bulk.cancel(filters, seconds=DRAIN_SECONDS)
    waiting = (await state.queue.queue_counts(name)).waiting
    return DrainResult(cancelled=done.changed, remaining=waiting)
