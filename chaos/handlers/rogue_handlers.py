"""Handlers that break the rules: they kill their worker, ignore cancellation, block, return too much."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

from shared.job_type import Backoff, JobType, Params
from worker.context import JobContext
from worker.handler import Handler

BLOCK_SECONDS = 1.5
HUGE = 100_000_000


class Nothing(Params):
    """No params."""


async def poison(params: Nothing, job: JobContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def stubborn(params: Nothing, job: JobContext) -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def blocker(params: Nothing, job: JobContext) -> None:
    time.sleep(BLOCK_SECONDS)  # noqa: ASYNC251  # the fault to inject
    await asyncio.sleep(3600)


async def unencodable(params: Nothing, job: JobContext) -> object:
    return object()


async def bare(params: Nothing, job: JobContext) -> None:
    raise BaseException("bare")


async def huge(params: Nothing, job: JobContext) -> str:
    return "x" * HUGE


def _contract(name: str, timeout: float, max_attempts: int) -> JobType[Any, Any]:
    return JobType(
        name=name,
        summary="",
        params=Nothing,
        result=Any,
        example={},
        timeout=timeout,
        max_attempts=max_attempts,
        backoff=Backoff(first=0.05),
    )


Rogue = Callable[[Nothing, JobContext], Awaitable[object]]
# The timeout, the attempts, and the error code with which the job must fail.
ROGUES: dict[Rogue, tuple[float, int, str]] = {
    poison: (30, 2, "worker_lost"),
    stubborn: (0.5, 1, "job_timeout"),
    blocker: (0.5, 2, "job_timeout"),
    unencodable: (30, 2, "invalid_result"),
    bare: (30, 2, "handler_error"),
    huge: (30, 2, "result_too_large"),
}
HANDLERS = [
    Handler(_contract(function.__name__, timeout, attempts), function)
    for function, (timeout, attempts, _) in ROGUES.items()
]
JOB_TYPES = {handler.job_type.name: handler.job_type for handler in HANDLERS}
CODES = {function.__name__: code for function, (_, _, code) in ROGUES.items()}
