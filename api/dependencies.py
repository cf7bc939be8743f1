"""The state that requests share, and dependencies of routes."""

from typing import Annotated, TypedDict

from fastapi import Depends, Request

from api.pacing import Pacing
from api.quotas import CallerQuotas
from api.server.connections import Connections
from api.settings import ApiSettings
from api.stream_tokens import StreamTokens
from api.submission import Submissions
from shared.files import FileStore
from shared.job_type_loader import JobTypesByName
from shared.store.changes import Changes
from shared.store.file_records import FileRecords
from shared.store.job_queue import JobQueue
from shared.store.rate_limits import RateLimits


class State(TypedDict):
    """Objects that the lifespan opens, and every request can reach."""

    settings: ApiSettings
    connections: Connections
    job_types: JobTypesByName
    submissions: Submissions
    queue: JobQueue
    files: FileStore
    file_records: FileRecords
    changes: Changes
    pacing: Pacing
    rate_limits: RateLimits
    quotas: CallerQuotas
    stream_tokens: StreamTokens
    started_at: float


async def _queue(request: Request) -> JobQueue:  # a plain def would cost a thread for each request
    queue: JobQueue = request.state.queue
    return queue


Queue = Annotated[JobQueue, Depends(_queue)]
