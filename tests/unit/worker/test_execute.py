"""Whatever becomes of an attempt, execute() says how it ended, and never raises."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
import structlog
from arq.jobs import serialize_job

from shared.errors import FinalError, JobFailure, RetryableError
from shared.job_type import Backoff, JobType, Params
from shared.record import MAX_TEXT_LENGTH
from shared.store.job_leases import Claim, Outcome, OutcomeKind
from worker import execute as module
from worker.context import BlockingContext, JobContext
from worker.execute import RELEASE_SECONDS, JobPostponed, RunningJob, StopReason, execute, outcome_of_stop
from worker.registry import Handler


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


# -- completed


async def test_what_an_async_handler_returns_is_the_result():
    assert await run(succeed) == Outcome(OutcomeKind.COMPLETED, b"3")


async def test_what_a_plain_handler_returns_is_the_result_and_it_runs_in_a_thread():
    threads: list[threading.Thread] = []

    def work(params: Work, job: BlockingContext) -> int:
        threads.append(threading.current_thread())
        return params.size

    assert await run(work) == Outcome(OutcomeKind.COMPLETED, b"3")
    assert threads[0] is not threading.main_thread()


async def test_the_handler_gets_the_params_and_the_context_of_its_job():
    seen: list[object] = []

    async def look(params: Work, job: JobContext) -> int:
        seen.extend((params, job))
        return 0

    job = a_job(params=b"{}")
    await run(look, job)
    assert seen == [Work(size=1), job.context]


async def test_the_deadline_is_the_timeout_of_the_job_type_after_the_start():
    job = a_job()
    await run(succeed, job)
    assert job.deadline == job.started_at + 7
    assert job.log_fields == {"job_id": "a-job", "attempt": 1, "request_id": "a-request", "type": "work"}


# -- before the handler


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"not json",
        b"\x80\x04}",
        b"[]",
        b"{}",
        b"null",
        b'{"f":"work"}',
        pytest.param(message_of("work", ["another-job"]), id="of another job"),
        pytest.param(message_of("work", []), id="of no job"),
        pytest.param(message_of("work", ["a-job", "a-job"]), id="of two jobs"),
        pytest.param(message_of("work", 5), id="arguments that are no list"),
        pytest.param(message_of(["work"], ["a-job"]), id="a type that is no text"),
    ],
)
async def test_a_message_that_is_not_this_jobs_fails_it_for_good(message: bytes):
    outcome = await run(succeed, a_job(message=message))
    assert outcome is not None
    assert outcome.kind is OutcomeKind.FAILED
    assert error_in(outcome)["code"] == "message_unreadable"
    assert error_in(outcome)["retryable"] is False


async def test_a_type_without_a_handler_goes_back_for_another_worker():
    outcome = await run(succeed, a_job(message=message_of("newer", ["a-job"])))
    assert outcome == Outcome(OutcomeKind.RELEASED, b"", int(RELEASE_SECONDS * 1000))


@pytest.mark.parametrize("attempt", [1, 3])
async def test_a_postponed_job_goes_back_for_as_long_as_it_asks(attempt: int):
    outcome = await run_raising(JobPostponed("the receiver is busy", delay=12.5), attempt=attempt)
    assert outcome == Outcome(OutcomeKind.RELEASED, b"", 12_500)


async def test_a_type_without_a_handler_goes_back_even_at_the_last_attempt():
    outcome = await run(succeed, a_job(message=message_of("newer", ["a-job"]), attempt=3))
    assert outcome is not None
    assert outcome.kind is OutcomeKind.RELEASED


@pytest.mark.parametrize("params", [b'{"size":"much"}', b'{"sise":1}', b"[]", b"", b"null", b"{"])
async def test_params_that_do_not_fit_fail_the_job_for_good(params: bytes):
    calls: list[Work] = []

    async def work(params: Work, job: JobContext) -> int:
        calls.append(params)
        return 0

    outcome = await run(work, a_job(params=params))
    assert outcome is not None
    assert outcome.kind is OutcomeKind.FAILED
    assert error_in(outcome)["code"] == "invalid_params"
    assert not calls


async def test_the_error_names_the_field_that_does_not_fit():
    error = error_in(await run(succeed, a_job(params=b'{"size":"much"}')))
    assert error["message"].startswith("The params do not fit the job type: size: Input should be")
    assert "much" not in error["message"]


# -- the handler raises


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


class Unspeakable(Exception):
    """An error that fails once more when it is asked what it is."""

    def __init__(self, answer: Callable[[], str]) -> None:
        self._answer = answer

    def __str__(self) -> str:
        return self._answer()


def raising(error: BaseException) -> Callable[[], str]:
    def answer() -> str:
        raise error

    return answer


@pytest.mark.parametrize(
    "answer",
    [raising(ValueError()), raising(RecursionError()), raising(SystemExit()), lambda: 5],
    ids=["an exception", "a deep recursion", "an exit", "no text"],
)
async def test_an_error_that_can_not_be_told_is_told_by_its_name(answer: Callable[[], str]):
    outcome = await run_raising(Unspeakable(answer))
    assert error_in(outcome)["message"] == "Unspeakable"


@contextmanager
def json_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The lines that execute() logs, made as JSON is made in production."""
    from shared import logging

    lines: list[bytes] = []

    class Lines:
        def write(self, line: bytes) -> None:
            lines.append(line)

    monkeypatch.setattr(module, "log", structlog.wrap_logger(Lines(), processors=[logging._render]))
    yield lines


@pytest.mark.parametrize("kind", [RetryableError, ValueError, FinalError])
async def test_text_that_utf8_can_not_carry_is_written_with_question_marks(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
):
    with json_log(monkeypatch):
        outcome = await run_raising(kind("a \udcff b"))
    assert error_in(outcome)["message"].endswith("a ? b")


async def test_a_hint_that_utf8_can_not_carry_is_written_as_well():
    assert error_in(await run_raising(FinalError("no", hint="\ud800")))["hint"] == "?"


@pytest.mark.parametrize("kind", [RetryableError, ValueError])
async def test_a_long_message_is_cut(kind: type[Exception]):
    message = error_in(await run_raising(kind("é" * 100_000)))["message"]
    assert len(message) == MAX_TEXT_LENGTH
    assert message.endswith("é")


@pytest.mark.parametrize("kind", [JobFailure, RetryableError, FinalError])
@pytest.mark.parametrize(
    ("parts", "refusal"),
    [
        (
            {"message": ValueError("the cause")},
            "message must be text, not ValueError: write message='the cause'",
        ),
        ({"code": 404}, "code must be text, not int: write code='404'"),
        ({"hint": 5}, "hint must be text, not int"),
        ({"retryable": "yes"}, "retryable must be true or false, not 'yes'"),
        ({"retry_after": "1 s"}, "retry_after must be a number of seconds, not '1 s'"),
        ({"retry_after": float("nan")}, "retry_after must be a number of seconds, not nan"),
        ({"retry_after": True}, "retry_after must be a number of seconds, not True"),
    ],
)
def test_a_failure_is_made_of_what_a_record_can_show(
    kind: type[JobFailure], parts: dict[str, Any], refusal: str
):
    with pytest.raises(TypeError, match=refusal):
        kind(**{"message": "no", **parts})


async def test_a_failure_with_a_class_attribute_of_the_wrong_type_is_refused_too():
    class Numbered(FinalError):
        code = 404  # type: ignore[assignment]

    with pytest.raises(TypeError, match="code must be text"):
        Numbered("no")


@pytest.mark.parametrize(("part", "value"), [("code", object()), ("hint", 5), ("code", "\ud800")])
async def test_a_failure_that_was_spoilt_later_still_ends_the_attempt(part: str, value: object):
    failure = RetryableError("no")
    setattr(failure, part, value)
    outcome = await run_raising(failure)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.RETRY
    assert all(isinstance(error_in(outcome)[part], str) for part in ("code", "message", "hint"))


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


async def test_an_unexpected_error_is_logged_with_its_traceback(monkeypatch: pytest.MonkeyPatch):
    with json_log(monkeypatch) as lines:
        await run_raising(ValueError("look here"))
    line = next(entry for entry in map(orjson.loads, lines) if entry["level"] == "error")
    assert line["event"] == "the handler raised an unexpected error"
    assert "Traceback" in line["exception"]
    assert "ValueError: look here" in line["exception"]


# -- the result


@pytest.mark.parametrize("result", [None, "many", [1], object(), 1.5])
async def test_a_result_that_breaks_the_contract_fails_the_job_for_good(result: object):
    async def work(params: Work, job: JobContext) -> Any:
        return result

    outcome = await run(work)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.FAILED
    assert error_in(outcome)["code"] == "invalid_result"


async def test_a_result_that_json_can_not_carry_fails_the_job_for_good():
    async def work(params: Work, job: JobContext) -> Any:
        return {"text": "\ud800"}

    handler = Handler(replace(WORK, result=dict), work)
    outcome = await execute(a_job(), {"work": handler}, max_result_bytes=1000)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.FAILED
    assert error_in(outcome)["code"] == "invalid_result"


async def test_a_result_of_just_the_allowed_size_completes():
    async def work(params: Work, job: JobContext) -> int:
        return 12345

    assert await run(work, max_bytes=5) == Outcome(OutcomeKind.COMPLETED, b"12345")


async def test_a_result_of_one_byte_more_fails_the_job_for_good():
    async def work(params: Work, job: JobContext) -> int:
        return 123456

    outcome = await run(work, max_bytes=5)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.FAILED
    assert error_in(outcome)["code"] == "result_too_large"
    assert error_in(outcome)["message"] == "The result has 6 bytes; 5 are allowed."
    assert "WORKER_MAX_RESULT_BYTES" in error_in(outcome)["hint"]


# -- the engine stops the attempt


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
