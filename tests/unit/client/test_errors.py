"""Errors of responses and of jobs: their kind, their text, their fields."""

import httpx
import pytest

from client import Job, JobFailed, JobServerError, NotDoneInTime
from client.errors import refusal
from tests.unit.client.fake_server import error_response, record, shards_missing


def test_the_envelope_becomes_the_error():
    fault = {"path": "params.top", "message": "Must be at most 100", "kind": "less_than_equal"}
    error = refusal(error_response(422, "invalid_request", details=[fault], retry_after="7"))
    assert (error.code, error.message, error.hint) == (
        "invalid_request",
        "This is invalid_request.",
        "Do something else.",
    )
    assert (error.status, error.retryable, error.request_id, error.retry_after) == (422, False, "r-1", 7)
    assert error.details == [fault]


def test_the_text_of_an_error_names_faults_hint_and_request():
    fault = {"path": "params.top", "message": "Must be at most 100", "kind": "less_than_equal"}
    assert str(refusal(error_response(422, "invalid_request", details=[fault]))) == (
        "This is invalid_request. params.top: Must be at most 100. Do something else. "
        "[invalid_request, request r-1]"
    )


def test_missing_shards_are_numbers_and_named_once_in_the_text():
    error = refusal(shards_missing(2, 5))
    assert error.missing_shards == (2, 5)
    assert str(error) == (
        "Shards (2, 5) of 8 do not answer. Jobs of the others that were cancelled: 7. Do something else. "
        "[queue_unavailable, request r-1]"
    )
    assert refusal(error_response(503, "queue_unavailable")).missing_shards == ()


def test_a_fault_is_not_told_twice():
    faults = [{"path": "cursor", "message": "This is a."}, {"path": "x", "message": "It is long."}]
    assert str(refusal(error_response(422, "a", details=faults))) == (
        "This is a. x: It is long. Do something else. [a, request r-1]"
    )


@pytest.mark.parametrize(
    ("response", "code", "retryable"),
    [
        (httpx.Response(502, text="<h1>Bad Gateway</h1>"), "http_502", True),
        (httpx.Response(503, json=["not", "an", "envelope"]), "http_503", True),
        (httpx.Response(504, json={"code": 1}), "http_504", True),
        (httpx.Response(403, content=b"\xff"), "http_403", False),
        (httpx.Response(302, headers={"Location": "/login"}), "http_302", False),
    ],
)
def test_a_response_of_a_proxy_is_named_so(response: httpx.Response, code: str, retryable: bool):
    error = refusal(response)
    assert (error.code, error.retryable) == (code, retryable)
    assert "proxy" in error.hint


@pytest.mark.parametrize("value", ["soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_retry_after_without_a_number_is_ignored(value: str):
    assert refusal(error_response(503, "queue_full", retry_after=value)).retry_after is None


@pytest.mark.parametrize("kind", [NotDoneInTime, JobFailed])
def test_the_errors_of_a_job_hold_it(kind: type):
    job = Job.from_record(record("failed"))
    error = kind(job, 3) if kind is NotDoneInTime else kind(job)
    assert error.job is job
    assert isinstance(error, JobServerError)
    assert job.job_id in str(error)
