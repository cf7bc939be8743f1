"""execute(): the outcome of an attempt, from its message and params to its result."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from shared.store.job_leases import Outcome, OutcomeKind
from tests.unit.worker.attempts import WORK, Work, a_job, error_in, message_of, run, run_raising, succeed
from worker.context import BlockingContext, JobContext
from worker.execute import RELEASE_SECONDS, JobPostponed, execute
from worker.handler import Handler

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
