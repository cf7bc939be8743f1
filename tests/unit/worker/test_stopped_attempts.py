"""Outcomes of attempts that the engine stops: cancelled, timed out, at a shutdown or without a lease."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from shared.errors import FinalError
from shared.store.job_leases import Outcome, OutcomeKind
from tests.unit.worker.attempts import Function, Work, a_job, error_in, run
from worker.context import BlockingContext, JobContext
from worker.execute import StopReason, outcome_of_stop


async def run_stopped(reason: StopReason, function: Function, *, attempt: int = 1) -> Outcome | None:
    """The outcome of a job that the engine stops as soon as its handler runs."""
    started = asyncio.Event()
    job = a_job(attempt=attempt)

    async def begin(params: Work, context: JobContext) -> Any:
        started.set()
        return await function(params, context)

    task = asyncio.create_task(run(begin, job))
    await started.wait()
    job.stop = reason
    task.cancel()
    return await task


async def obey(params: Work, job: JobContext) -> int:
    await asyncio.Event().wait()
    return 1


async def swallow(params: Work, job: JobContext) -> int:
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return 1


async def protest(params: Work, job: JobContext) -> int:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise FinalError("I was not done.") from None
    return 1


async def break_off(params: Work, job: JobContext) -> int:
    try:
        await asyncio.Event().wait()
    finally:
        raise OSError("the disk is full")


async def return_nonsense(params: Work, job: JobContext) -> Any:
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "half a result"


MANNERS = pytest.mark.parametrize("handler", [obey, swallow, protest, break_off, return_nonsense])


@MANNERS
async def test_a_cancelled_job_is_cancelled(handler: Callable[..., Awaitable[Any]]):
    assert await run_stopped(StopReason.CANCELLED, handler) == Outcome(OutcomeKind.CANCELLED)


@MANNERS
async def test_a_job_stopped_by_a_shutdown_goes_back_at_once(handler: Callable[..., Awaitable[Any]]):
    assert await run_stopped(StopReason.SHUTDOWN, handler, attempt=3) == Outcome(OutcomeKind.RELEASED)


@MANNERS
async def test_a_job_that_took_too_long_is_tried_again(handler: Callable[..., Awaitable[Any]]):
    outcome = await run_stopped(StopReason.TIMEOUT, handler)
    assert outcome is not None
    assert (outcome.kind, outcome.delay) == (OutcomeKind.RETRY, 2000)
    error = error_in(outcome)
    assert (error["code"], error["message"]) == ("job_timeout", "The attempt took longer than 7 s.")


async def test_a_job_that_took_too_long_for_the_last_time_has_failed():
    outcome = await run_stopped(StopReason.TIMEOUT, obey, attempt=3)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.FAILED
    assert error_in(outcome)["retryable"] is True


@MANNERS
async def test_of_a_job_whose_lease_is_lost_nothing_is_said(handler: Callable[..., Awaitable[Any]]):
    assert await run_stopped(StopReason.LEASE_LOST, handler) is None


async def test_a_plain_handler_that_runs_on_is_left_behind_when_its_job_is_cancelled():
    running, release = threading.Event(), threading.Event()

    def work(params: Work, context: BlockingContext) -> int:
        running.set()
        release.wait(10)
        return 1

    job = a_job()
    task = asyncio.create_task(run(work, job))
    try:
        async with asyncio.timeout(10):
            await asyncio.to_thread(running.wait)
            job.stop = StopReason.CANCELLED
            task.cancel()
            assert await task == Outcome(OutcomeKind.CANCELLED)
    finally:
        release.set()


@pytest.mark.parametrize("reason", [None, StopReason.LEASE_LOST])
def test_a_job_that_was_not_stopped_or_is_lost_has_no_outcome_yet(reason: StopReason | None):
    job = a_job()
    job.stop = reason
    assert outcome_of_stop(job) is None
