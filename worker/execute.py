"""The steps of one attempt at a job: decode → resolve → validate → perform → encode; an error's outcome."""

from collections.abc import Mapping
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
from worker.handler import Handler, unfit_result
from worker.processes.protocol import describe
from worker.running_job import RunningJob, StopReason
from worker.timeouts import set_deadline, timeout_error

MAX_PAUSE = 365 * 86400.0  # between two attempts, in seconds
RELEASE_SECONDS = 5.0  # until a job is due again that was released for want of a handler

log = get_log(__name__)


class NoHandler(Exception):
    """A job type without a handler in this worker, as while a newer release is rolled out."""


class JobPostponed(Exception):
    """The attempt can't be made now: the job is released for a while, and the attempt is not charged.

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
    """Perform an attempt and return its outcome; None if the lease is lost, and the outcome counts no longer.

    Returns, and does not raise, whatever the handler raises, returns or swallows.
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
        return outcome_of_any_error(job, error) if job.stop is None else outcome_of_stop(job)
    return Outcome(OutcomeKind.COMPLETED, body) if job.stop is None else outcome_of_stop(job)


def prepare(job: RunningJob, handlers: Mapping[str, Handler]) -> Handler:
    """Find the job's handler, and set its deadline. Raises as `resolve` does."""
    if job.handler is None:
        job.handler = resolve(job.claim, handlers)
        set_deadline(job)
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
        raise unfit_result(error) from error
    if len(body) > max_bytes:
        raise FinalError(
            f"The result has {len(body)} bytes; {max_bytes} are allowed.",
            code="result_too_large",
            hint="Return less, or raise WORKER_MAX_RESULT_BYTES.",
        )
    return body


def outcome_of_stop(job: RunningJob) -> Outcome | None:
    """The outcome of an attempt that the worker has stopped; None if its lease is lost.

    The reason for the stop decides, even if the handler swallowed the cancellation and returned: its result
    may be half a result.
    """
    match job.stop:
        case StopReason.CANCELLED:
            return Outcome(OutcomeKind.CANCELLED)
        case StopReason.SHUTDOWN:
            return Outcome(OutcomeKind.RELEASED)
        case StopReason.TIMEOUT:
            return failed(job, timeout_error(job.deadline - job.started_at))
        case _:
            return None


def outcome_of_any_error(job: RunningJob, error: BaseException) -> Outcome:
    """As `outcome_of_error`; if that fails, because the log fails, say, the attempt is tried again."""
    try:
        return outcome_of_error(job, error)
    except BaseException:  # GeneratorExit too: the job must not stay claimed
        return failed(job, RetryableError(f"The attempt ended with {type(error).__name__}."))


def outcome_of_error(job: RunningJob, error: BaseException) -> Outcome:
    """The outcome of an attempt that ended with an error."""
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
        except Exception:  # built wrongly: with a message that is not text, say
            log.exception("the handler raised a failure that can't be written")
            return failed(job, RetryableError(type(error).__name__))
    log.error("the handler raised an unexpected error", exc_info=error)
    return failed(job, RetryableError(describe(error)))


def decisive(error: BaseException) -> BaseException:
    """The error itself; of a group, as a TaskGroup raises it, the decisive error: final ones go first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return min((decisive(inner) for inner in error.exceptions), key=_rank)


def _rank(error: BaseException) -> int:
    if isinstance(error, JobFailure):
        return 1 if error.retryable else 0
    return 2 if isinstance(error, Exception) else 3


def failed(job: RunningJob, failure: JobFailure) -> Outcome:
    """The outcome of a failed attempt: final, or a retry after the failure's own pause or the backoff."""
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
    return Outcome(OutcomeKind.RETRY, body, milliseconds(min(max(pause, 0), MAX_PAUSE)))
