"""One attempt at a job: decode → resolve → validate → perform → encode, and a judgement if it fails."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from typing import Any

import orjson
from arq.jobs import DeserializationError, deserialize_job_raw
from pydantic import ValidationError

from shared.errors import FinalError, JobFailure, RetryableError
from shared.job_type import Backoff
from shared.logging import get_log
from shared.record import storable
from shared.store.job_leases import Claim, Outcome, OutcomeKind
from shared.store.redis_calls import milliseconds
from worker.context import JobContext
from worker.processes.protocol import describe
from worker.registry import Handler

LONGEST_PAUSE = 365 * 86400.0  # between two attempts, in seconds
RELEASE_SECONDS = 5.0  # how long a job waits that this worker has no handler for

log = get_log(__name__)


class StopReason(Enum):
    """Why the engine, and not the handler, ends an attempt."""

    TIMEOUT = auto()
    CANCELLED = auto()
    SHUTDOWN = auto()
    LEASE_LOST = auto()


@dataclass(slots=True, eq=False)
class RunningJob:
    """An attempt that this worker performs. Times are of the monotonic clock, in seconds."""

    claim: Claim
    context: JobContext
    started_at: float
    handler: Handler | None = None
    task: asyncio.Task[None] | None = None
    deadline: float = inf
    stop: StopReason | None = None
    stopped_at: float = inf
    ended: bool = False
    warned: bool = False
    log_fields: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        claim = self.claim
        self.log_fields = {"job_id": claim.job_id, "attempt": claim.attempt, "request_id": claim.request_id}


class NoHandler(Exception):
    """The job's type is not known here, as while a newer release is rolled out."""


class JobPostponed(Exception):
    """The attempt can't be made now: the job goes back for a while, and the attempt is not charged.

    Args:
        reason: for the log.
        delay: seconds until the job is due again.
    """

    def __init__(self, reason: str, *, delay: float) -> None:
        super().__init__(reason)
        self.delay = delay


async def execute(
    job: RunningJob, handlers: Mapping[str, Handler], *, max_result_bytes: int
) -> Outcome | None:
    """Perform an attempt and say how it ended; None if that is no longer this worker's to say.

    Whatever the handler raises, returns or swallows, this returns and does not raise.
    """
    try:
        handler = prepare(job, handlers)
        job.log_fields["type"] = handler.job_type.name
        if handler.logs_start:
            log.info("job started")
        params = validate(handler, job.claim)
        result = await handler.perform(params, job.context)
        body = encode(handler, result, max_result_bytes)
    except BaseException as error:
        return judge_safely(job, error) if job.stop is None else stopped(job)
    return Outcome(OutcomeKind.COMPLETED, body) if job.stop is None else stopped(job)


def prepare(job: RunningJob, handlers: Mapping[str, Handler]) -> Handler:
    """Find the job's handler, and with it the deadline. Raises what `resolve` does."""
    if job.handler is None:
        job.handler = resolve(job.claim, handlers)
        job.deadline = job.started_at + job.handler.job_type.timeout
    return job.handler


def resolve(claim: Claim, handlers: Mapping[str, Handler]) -> Handler:
    try:
        job_type, arguments, *_ = deserialize_job_raw(claim.message, deserializer=orjson.loads)
        if [job_type, arguments] != [str(job_type), [claim.job_id]]:
            raise DeserializationError("the message is not of this job")
    except DeserializationError:
        raise FinalError(
            "The job's message in Redis is missing or unreadable.",
            code="message_unreadable",
            hint="Submit the job again; look for what else writes to this Redis.",
        ) from None
    if job_type not in handlers:
        raise NoHandler(job_type)
    return handlers[job_type]


def validate(handler: Handler, claim: Claim) -> Any:
    try:
        return handler.validate(claim.params)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise FinalError(
            f"The params do not fit the job type: {where}: {fault['msg']}.", code="invalid_params"
        ) from None


def encode(handler: Handler, result: Any, max_bytes: int) -> bytes:
    try:
        body = handler.encode(result)
    except Exception as error:
        raise FinalError(
            f"The handler returned what its contract does not allow: {describe(error)}",
            code="invalid_result",
            hint="Correct the handler, or the contract's result.",
        ) from error
    if len(body) > max_bytes:
        raise FinalError(
            f"The result has {len(body)} bytes; {max_bytes} are allowed.",
            code="result_too_large",
            hint="Return less, or raise WORKER_MAX_RESULT_BYTES.",
        )
    return body


def stopped(job: RunningJob) -> Outcome | None:
    """What an attempt comes to that the engine has stopped; None if its lease is lost.

    The reason for the stop decides, even if the handler swallowed the cancellation and returned: what
    it returned may be half a result.
    """
    match job.stop:
        case StopReason.CANCELLED:
            return Outcome(OutcomeKind.CANCELLED)
        case StopReason.SHUTDOWN:
            return Outcome(OutcomeKind.RELEASED)
        case StopReason.TIMEOUT:
            seconds = job.deadline - job.started_at
            return failed(
                job,
                RetryableError(
                    f"The attempt took longer than {seconds:g} s.",
                    code="job_timeout",
                    hint="Submit less work per job, or raise the job type's timeout.",
                ),
            )
        case _:
            return None


def judge_safely(job: RunningJob, error: BaseException) -> Outcome:
    """As `judge`; an attempt whose error can't be judged, because the log fails, say, is tried again."""
    try:
        return judge(job, error)
    except BaseException:  # GeneratorExit too: the job must not stay claimed
        return failed(job, RetryableError(f"The attempt ended with {type(error).__name__}."))


def judge(job: RunningJob, error: BaseException) -> Outcome:
    """What an error that ended an attempt means for the job."""
    error = decisive(error)
    if isinstance(error, NoHandler):
        log.warning("no handler for this job type", type=str(error), job_id=job.claim.job_id)
        return Outcome(OutcomeKind.RELEASED, delay=milliseconds(RELEASE_SECONDS))
    if isinstance(error, JobPostponed):
        log.debug("job postponed", reason=str(error), seconds=round(error.delay, 3))
        return Outcome(OutcomeKind.RELEASED, delay=milliseconds(error.delay))
    if isinstance(error, JobFailure):
        try:
            return failed(job, error)
        except Exception:  # made wrongly, with a message that is no text, say
            log.exception("the handler raised a failure that can't be written")
            return failed(job, RetryableError(type(error).__name__))
    log.error("the handler raised an unexpected error", exc_info=error)
    return failed(job, RetryableError(describe(error)))


def decisive(error: BaseException) -> BaseException:
    """The error itself; of a group, as a TaskGroup raises it, the one that decides: final ones go first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return min((decisive(inner) for inner in error.exceptions), key=_rank)


def _rank(error: BaseException) -> int:
    if isinstance(error, JobFailure):
        return 1 if error.retryable else 0
    return 2 if isinstance(error, Exception) else 3


def failed(job: RunningJob, failure: JobFailure) -> Outcome:
    """Failed for good, or to be tried again: after the pause it asks for, or the job type's backoff."""
    claim = job.claim
    body = orjson.dumps(
        {
            "code": failure.code,
            "message": storable(failure.message),
            "hint": storable(failure.hint),
            "retryable": failure.retryable,
            "attempt": claim.attempt,
        }
    )
    if not failure.retryable or claim.attempt >= claim.max_attempts:
        return Outcome(OutcomeKind.FAILED, body)
    pause = failure.retry_after
    if pause is None:
        pause = (job.handler.job_type.backoff if job.handler else Backoff()).seconds(claim.attempt)
    return Outcome(OutcomeKind.RETRY, body, milliseconds(min(max(pause, 0), LONGEST_PAUSE)))
