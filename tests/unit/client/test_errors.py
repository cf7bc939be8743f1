"""Every failure becomes an error that says what happened and what to do next; some are tried again."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as some

from client import Job, JobFailed, JobServerError, NotDoneInTime, Retries, ServerUnreachable
from client.errors import refusal
from client.models import JobPage
from client.transport import is_repeatable, parse, translated
from tests.unit.client.fake_server import FAILURE, record, refused

REQUEST = httpx.Request("GET", "http://jobs.test/v1/jobs/7")


def passing(retry_after: float | None = None) -> JobServerError:
    return JobServerError("queue_full", "Full.", retryable=True, retry_after=retry_after)


# -- answers


def test_the_envelope_becomes_the_error():
    fault = {"path": "params.top", "message": "Must be at most 100", "kind": "less_than_equal"}
    error = refusal(refused(422, "invalid_request", details=[fault], retry_after="7"))
    assert (error.code, error.message, error.hint) == (
        "invalid_request",
        "This is invalid_request.",
        "Do something else.",
    )
    assert (error.status, error.retryable, error.request_id, error.retry_after) == (422, False, "r-1", 7)
    assert error.details == [fault]


def test_the_text_of_an_error_has_all_that_helps():
    fault = {"path": "params.top", "message": "Must be at most 100", "kind": "less_than_equal"}
    assert str(refusal(refused(422, "invalid_request", details=[fault]))) == (
        "This is invalid_request. params.top: Must be at most 100. Do something else. "
        "[invalid_request, request r-1]"
    )


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        (httpx.Response(502, text="<h1>Bad Gateway</h1>"), "http_502", True),
        (httpx.Response(503, json=["not", "an", "envelope"]), "http_503", True),
        (httpx.Response(504, json={"code": 1}), "http_504", True),
        (httpx.Response(403, content=b"\xff"), "http_403", False),
        (httpx.Response(302, headers={"Location": "/login"}), "http_302", False),
    ],
)
def test_an_answer_that_is_not_the_servers_is_named_so(answer: httpx.Response, code: str, retryable: bool):
    error = refusal(answer)
    assert (error.code, error.retryable) == (code, retryable)
    assert "proxy" in error.hint


@pytest.mark.parametrize("value", ["soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_time_to_wait_that_is_no_number_is_passed_over(value: str):
    assert refusal(refused(503, "queue_full", retry_after=value)).retry_after is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"job_id": "7"}', b"null", b"\xff", b""])
def test_an_answer_that_is_no_job_is_named_so(body: bytes):
    for from_record in (Job.from_record, JobPage.from_record):
        with pytest.raises(JobServerError, match="unreadable_answer"):
            parse(body, from_record)


def test_what_a_newer_server_tells_stays_in_the_record():
    job = Job.from_record(record("running", caller="me", queue_position=3))
    assert (job.raw["caller"], job.raw["queue_position"]) == ("me", 3)


def test_a_record_with_everything_in_it():
    artifact = {"name": "a.png", "content_type": "image/png", "size": 9, "sha256": "0", "url": "/a", "new": 1}
    progress = {"fraction": 0.5, "message": "half", "new": 1}
    job = Job.from_record(
        record("failed", artifacts=[artifact], errors=[{**FAILURE, "new": 1}], progress=progress)
    )
    assert job.progress is not None
    assert (job.progress.fraction, job.progress.message) == (0.5, "half")
    assert (job.artifacts[0].name, job.artifacts[0].size) == ("a.png", 9)
    assert (job.errors[0].code, job.errors[0].attempt) == ("flaky_final", 1)
    assert job.created_at.isoformat() == "2026-01-01T12:00:00+00:00"
    assert job.expires_at is None


# -- connections


@pytest.mark.parametrize(
    ("raised", "retryable"),
    [
        (httpx.ConnectError("Connection refused"), True),
        (httpx.ConnectTimeout(""), True),
        (httpx.RemoteProtocolError("Server disconnected"), True),
        (httpx.UnsupportedProtocol("no scheme"), False),
        (httpx.LocalProtocolError("Illegal header value"), False),
    ],
)
def test_a_broken_connection_is_a_connection_error(raised: httpx.RequestError, retryable: bool):
    with pytest.raises(ServerUnreachable) as caught, translated(REQUEST):
        raise raised
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, JobServerError)
    assert caught.value.retryable == retryable
    assert str(raised) in str(caught.value)
    assert caught.value.__cause__ is raised


def test_silence_is_named_by_its_kind():
    with pytest.raises(ServerUnreachable) as caught, translated(REQUEST):
        raise httpx.ReadTimeout("")
    assert caught.value.message == "http://jobs.test/ does not answer (ReadTimeout)."


@pytest.mark.parametrize("kind", [NotDoneInTime, JobFailed])
def test_the_errors_of_a_job_hold_it(kind: type):
    job = Job.from_record(record("failed"))
    error = kind(job, 3) if kind is NotDoneInTime else kind(job)
    assert error.job is job
    assert isinstance(error, JobServerError)
    assert job.job_id in str(error)


# -- pauses


@given(some.integers(0, 5), some.floats(0, 30))
def test_a_pause_is_no_shorter_than_the_server_asks(repetition: int, asked: float):
    pause = Retries().pause(passing(asked), repetition, 0)
    assert pause is not None
    assert asked < pause <= asked + 8


def test_pauses_grow_up_to_the_longest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("random.uniform", lambda _, high: high)
    retries = Retries(most=100_000, first=1, longest=5, seconds=1e9)
    assert [retries.pause(passing(), n, 0) for n in (0, 1, 2, 3, 99_999)] == [1, 2, 4, 5, 5]


def test_clients_that_were_turned_away_together_do_not_return_together():
    assert len({Retries().pause(passing(1), 0, 0) for _ in range(50)}) > 40


@pytest.mark.parametrize(
    ("error", "repetition", "spent"),
    [
        (JobServerError("not_found", "No."), 0, 0),
        (passing(), 6, 0),
        (passing(), 0, 60),
        (passing(retry_after=61), 0, 0),
    ],
)
def test_it_gives_up(error: JobServerError, repetition: int, spent: float):
    assert Retries().pause(error, repetition, spent) is None


def test_only_what_does_no_harm_twice_is_repeated():
    url = "http://jobs.test/v1/jobs"
    assert is_repeatable(httpx.Request("GET", url))
    assert is_repeatable(httpx.Request("DELETE", url))
    assert is_repeatable(httpx.Request("POST", url, headers={"Idempotency-Key": "k"}))
    assert not is_repeatable(httpx.Request("POST", url))
