"""RunningJob: the attempt at one job that this worker performs."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING, Any

from shared.store.job_leases import Claim
from shared.traces.context import TraceContext
from worker.context import JobContext
from worker.handler import Handler

if TYPE_CHECKING:
    from shared.traces.tracer import Span


class StopReason(Enum):
    """The worker's reason to end an attempt before its handler does."""

    TIMEOUT = auto()
    CANCELLED = auto()
    SHUTDOWN = auto()
    LEASE_LOST = auto()


@dataclass(slots=True, eq=False)
class RunningJob:
    """An attempt under way. Times are of the monotonic clock, in seconds.

    Attributes:
        held_until: the start of an attempt whose claim was held, in milliseconds since the epoch by Redis'
            clock; else 0.
        start_reported: whether the reporter was given `held_until`.
        deadline: the end of the attempt's timeout; infinite without a handler.
        stop: the first reason to stop the attempt.
        stopped_at: the time of that stop; infinite before it.
        ended: whether the attempt has been settled.
        warned: whether the log says that its handler reached for tasks of others.
        span: the attempt's span, if it has one.
    """

    claim: Claim
    context: JobContext
    started_at: float
    held_until: int = 0
    start_reported: bool = False
    handler: Handler | None = None
    task: asyncio.Task[None] | None = None
    deadline: float = inf
    stop: StopReason | None = None
    stopped_at: float = inf
    ended: bool = False
    warned: bool = False
    span: "Span | None" = None
    log_fields: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        claim = self.claim
        self.log_fields = {"job_id": claim.job_id, "attempt": claim.attempt, "request_id": claim.request_id}
        if claim.trace:
            self.log_fields |= TraceContext.log_fields_of(claim.trace)
