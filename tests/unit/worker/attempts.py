"""Attempts at one job, each with the function of a test for a handler."""

import time
from collections.abc import Callable
from typing import Any

import orjson
from arq.jobs import serialize_job

from shared.job_type import Backoff, JobType, Params
from shared.store.job_leases import Claim, Outcome
from worker.context import JobContext
from worker.execute import RunningJob, execute
from worker.handler import Handler


class Work(Params):
    size: int = 1


WORK = JobType(
    name="work",
    summary="Whatever a test does.",
    params=Work,
    result=int,
    example={},
    timeout=7,
    max_attempts=3,
    backoff=Backoff(first=2, factor=3, jitter=0),
)

Function = Callable[[Work, Any], Any]


def message_of(job_type: object, arguments: object, serializer: Any = orjson.dumps) -> bytes:
    return serialize_job(job_type, arguments, {}, None, 0, serializer=serializer)


MESSAGE = message_of("work", ["a-job"])


def a_job(*, attempt: int = 1, message: bytes = MESSAGE, params: bytes = b'{"size":3}') -> RunningJob:
    claim = Claim("default", "a-job", attempt, attempt, 3, message, params, "a-request", f"{attempt}:a-job")
    return RunningJob(claim, JobContext.of(claim, lambda: None), started_at=time.monotonic())


async def run(function: Function, job: RunningJob | None = None, *, max_bytes: int = 1000) -> Outcome | None:
    """The outcome of a job that this function performs."""
    return await execute(job or a_job(), {"work": Handler(WORK, function)}, max_result_bytes=max_bytes)


async def run_raising(error: BaseException, *, attempt: int = 1) -> Outcome | None:
    async def fail(params: Work, job: JobContext) -> int:
        raise error

    return await run(fail, a_job(attempt=attempt))


async def succeed(params: Work, job: JobContext) -> int:
    return params.size


def error_in(outcome: Outcome | None) -> dict[str, Any]:
    assert outcome is not None
    error: dict[str, Any] = orjson.loads(outcome.body)
    return error
