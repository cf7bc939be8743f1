"""Outcomes of attempts whose handler raises an error: the kind, the delay and the code."""

import asyncio

import pytest

from shared.errors import FinalError, JobFailure, RetryableError
from shared.store.job_leases import OutcomeKind
from tests.unit.worker.attempts import Work, error_in, run, run_raising
from worker.context import BlockingContext, JobContext


@pytest.mark.parametrize("kind", [ValueError, KeyError, MemoryError, RecursionError])
async def test_an_exception_is_tried_again_after_the_backoff(kind: type[Exception]):
    error = kind("no")
    outcome = await run_raising(error)
    assert outcome is not None
    assert (outcome.kind, outcome.delay) == (OutcomeKind.RETRY, 2000)
    assert error_in(outcome) == {
        "code": "handler_error",
        "message": f"{kind.__name__}: {error}",
        "hint": RetryableError.hint,
        "retryable": True,
        "attempt": 1,
    }


@pytest.mark.parametrize(
    ("asked", "delay"), [(0, 0), (0.25, 250), (90, 90_000), (-5, 0), (1e300, 365 * 86_400_000)]
)
async def test_a_failure_may_ask_for_a_pause_of_its_own(asked: float, delay: int):
    outcome = await run_raising(RetryableError("no", retry_after=asked))
    assert outcome is not None
    assert (outcome.kind, outcome.delay) == (OutcomeKind.RETRY, delay)
    assert "retry_after" not in error_in(outcome)


async def test_a_pause_asked_for_at_the_last_attempt_is_the_end_all_the_same():
    outcome = await run_raising(RetryableError("no", retry_after=90), attempt=3)
    assert outcome is not None
    assert (outcome.kind, outcome.delay) == (OutcomeKind.FAILED, 0)


async def test_the_pause_grows_with_the_attempt():
    outcome = await run_raising(ValueError(), attempt=2)
    assert outcome is not None
    assert outcome.delay == 6000
    assert error_in(outcome)["attempt"] == 2


@pytest.mark.parametrize("error", [ValueError("no"), RetryableError("no"), SystemExit(1)])
async def test_the_last_attempt_is_the_end_even_of_what_could_be_tried_again(error: BaseException):
    outcome = await run_raising(error, attempt=3)
    assert outcome is not None
    assert (outcome.kind, outcome.delay) == (OutcomeKind.FAILED, 0)
    assert error_in(outcome)["retryable"] is True


@pytest.mark.parametrize(
    "kind", [BaseException, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
@pytest.mark.parametrize("in_thread", [False, True], ids=["async def", "def"])
async def test_what_is_meant_to_end_a_process_ends_the_attempt_alone(
    kind: type[BaseException], in_thread: bool
):
    async def fail(params: Work, job: JobContext) -> int:
        raise kind("out")

    def fail_in_thread(params: Work, job: BlockingContext) -> int:
        raise kind("out")

    outcome = await run(fail_in_thread if in_thread else fail)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.RETRY
    assert kind.__name__ in error_in(outcome)["message"]


@pytest.mark.parametrize("in_thread", [False, True], ids=["async def", "def"])
async def test_stop_iteration_ends_the_attempt(in_thread: bool):
    async def fail(params: Work, job: JobContext) -> int:
        return next(iter([]))

    def fail_in_thread(params: Work, job: BlockingContext) -> int:
        return next(iter([]))

    outcome = await run(fail_in_thread if in_thread else fail)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.RETRY
    assert "StopIteration" in error_in(outcome)["message"]


@pytest.mark.parametrize(
    ("failure", "kind", "code", "hint"),
    [
        (RetryableError("no"), OutcomeKind.RETRY, "handler_error", JobFailure.hint),
        (RetryableError("no", code="busy", hint="Wait."), OutcomeKind.RETRY, "busy", "Wait."),
        (FinalError("no"), OutcomeKind.FAILED, "handler_error", FinalError.hint),
        (FinalError("no", code="broken"), OutcomeKind.FAILED, "broken", FinalError.hint),
        (JobFailure("no", retryable=False), OutcomeKind.FAILED, "handler_error", JobFailure.hint),
        (FinalError("no", retryable=True), OutcomeKind.RETRY, "handler_error", FinalError.hint),
    ],
)
async def test_a_failure_is_judged_by_what_it_says_itself(
    failure: JobFailure, kind: OutcomeKind, code: str, hint: str
):
    outcome = await run_raising(failure)
    assert outcome is not None
    assert outcome.kind is kind
    assert outcome.delay == (2000 if kind is OutcomeKind.RETRY else 0)
    assert error_in(outcome) == {
        "code": code,
        "message": "no",
        "hint": hint,
        "retryable": kind is OutcomeKind.RETRY,
        "attempt": 1,
    }


FINAL, AGAIN, OTHER = FinalError("final", code="decided"), RetryableError("again"), ValueError("other")


@pytest.mark.parametrize(
    ("error", "kind", "code", "message"),
    [
        (ExceptionGroup("g", [OTHER, AGAIN, FINAL]), OutcomeKind.FAILED, "decided", "final"),
        (
            ExceptionGroup("g", [OTHER, ExceptionGroup("deeper", [AGAIN, ExceptionGroup("yet", [FINAL])])]),
            OutcomeKind.FAILED,
            "decided",
            "final",
        ),
        (ExceptionGroup("g", [OTHER, AGAIN]), OutcomeKind.RETRY, "handler_error", "again"),
        (ExceptionGroup("g", [OTHER]), OutcomeKind.RETRY, "handler_error", "ValueError: other"),
        (
            BaseExceptionGroup("g", [asyncio.CancelledError(), OTHER]),
            OutcomeKind.RETRY,
            "handler_error",
            "ValueError: other",
        ),
    ],
)
async def test_of_a_group_of_errors_the_decisive_one_is_shown(
    error: BaseException, kind: OutcomeKind, code: str, message: str
):
    outcome = await run_raising(error)
    assert outcome is not None
    shown = error_in(outcome)
    assert (outcome.kind, shown["code"], shown["message"]) == (kind, code, message)


async def test_a_final_error_in_a_task_group_ends_the_job():
    async def fail() -> None:
        raise FinalError("no", code="broken", hint="Mend it.")

    async def handler(params: Work, job: JobContext) -> int:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            tasks.create_task(asyncio.sleep(60))
        return 0

    outcome = await run(handler)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.FAILED
    assert [error_in(outcome)[part] for part in ("code", "message", "hint")] == ["broken", "no", "Mend it."]


async def test_a_failure_that_forgot_to_call_its_base_still_ends_the_attempt():
    class Forgetful(RetryableError):
        def __init__(self) -> None:
            pass

    outcome = await run_raising(Forgetful())
    assert outcome is not None
    assert outcome.kind is OutcomeKind.RETRY
