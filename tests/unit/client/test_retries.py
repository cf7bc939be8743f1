"""Retries: which requests are sent again, how often, and after which pauses."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as some

from client import JobServerError, Retries, ServerUnreachable
from client.transport import is_repeatable
from tests.unit.client.fake_server import JOB_ID, Clock, FakeServer, error_response, job_response

REFUSED = httpx.ConnectError("Connection refused")
Open = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("clock")


def passing(retry_after: float | None = None) -> JobServerError:
    return JobServerError("queue_full", "Full.", retryable=True, retry_after=retry_after)


# -- requests


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_passing_status_is_retried(face: Open, clock: Clock, status: int):
    server = FakeServer(httpx.Response(status), httpx.Response(status), job_response())
    assert (await face(server).get(JOB_ID)).job_id == JOB_ID
    assert len(clock.pauses) == 2


@pytest.mark.parametrize("passing", [REFUSED, httpx.ReadTimeout("late"), httpx.ReadError("cut")])
async def test_a_failed_connection_is_retried(face: Open, clock: Clock, passing: Exception):
    server = FakeServer(passing, passing, job_response())
    assert (await face(server).get(JOB_ID)).job_id == JOB_ID
    assert len(server.requests) == 3
    assert len(clock.pauses) == 2


@pytest.mark.parametrize("status", [404, 409, 422, 500])
async def test_a_lasting_error_is_not_retried(face: Open, clock: Clock, status: int):
    server = FakeServer(error_response(status, "no"))
    with pytest.raises(JobServerError):
        await face(server).get(JOB_ID)
    assert clock.pauses == []


async def test_a_pause_follows_retry_after(face: Open, clock: Clock):
    server = FakeServer(error_response(503, "queue_full", retry_after="5"), job_response(status=202))
    await face(server).submit("echo", {})
    (pause,) = clock.pauses
    assert 5 < pause < 5.3


async def test_a_retried_submission_keeps_its_key_and_its_body(face: Open):
    server = FakeServer(REFUSED, error_response(503, "queue_full"), job_response(status=202))
    await face(server).submit("echo", {"message": 1})
    assert len(set(server.keys())) == 1
    assert server.bodies() == [{"type": "echo", "params": {"message": 1}}] * 3


async def test_each_submission_has_a_key_of_its_own(face: Open):
    server = FakeServer(job_response(status=202), job_response(status=202))
    client = face(server)
    await client.submit("echo", {})
    await client.submit("echo", {})
    assert len(set(server.keys())) == 2


async def test_the_caller_may_choose_the_key(face: Open):
    server = FakeServer(job_response(status=202), job_response(status=202), job_response(status=202))
    client = face(server)
    await client.submit("echo", {}, idempotency_key="k")
    await client.retry(JOB_ID, idempotency_key="k")
    await client.submit("echo", {}, idempotency_key="k")
    assert server.keys() == ["k"] * 3


async def test_retries_end_after_the_most(face: Open):
    server = FakeServer(*[REFUSED] * 3)
    with pytest.raises(ServerUnreachable, match=r"http://jobs.test/ does not answer \(Connection refused\)"):
        await face(server, retries=Retries(most=2)).get(JOB_ID)
    assert server.exhausted


async def test_retries_end_with_their_time(face: Open, clock: Clock):
    server = FakeServer(*[error_response(503, "queue_full", retry_after="20") for _ in range(3)])
    with pytest.raises(JobServerError, match="queue_full"):
        await face(server, retries=Retries(seconds=50)).get(JOB_ID)
    assert 40 < sum(clock.pauses) <= 50


def test_only_safe_requests_are_repeatable():
    url = "http://jobs.test/v1/jobs"
    assert is_repeatable(httpx.Request("GET", url))
    assert is_repeatable(httpx.Request("DELETE", url))
    assert is_repeatable(httpx.Request("POST", url, headers={"Idempotency-Key": "k"}))
    assert not is_repeatable(httpx.Request("POST", url))


# -- pauses


@given(some.integers(0, 5), some.floats(0, 30))
def test_a_pause_is_no_shorter_than_retry_after(repetition: int, asked: float):
    pause = Retries().pause(passing(asked), repetition, 0)
    assert pause is not None
    assert asked < pause <= asked + 8


def test_pauses_grow_up_to_the_longest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("random.uniform", lambda _, high: high)
    retries = Retries(most=100_000, first=1, longest=5, seconds=1e9)
    assert [retries.pause(passing(), n, 0) for n in (0, 1, 2, 3, 99_999)] == [1, 2, 4, 5, 5]


def test_pauses_are_random():
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
def test_there_is_no_pause_after_the_last_retry(error: JobServerError, repetition: int, spent: float):
    assert Retries().pause(error, repetition, spent) is None
