"""Waiting for a job, and its result; the same for both faces."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from client import Job, JobFailed, NotDoneInTime, ServerUnreachable
from client.jobs import POLL_PAUSE
from tests.unit.client.fake_server import FAILURE, JOB_ID, Clock, FakeServer, job_response, record

REFUSED = httpx.ConnectError("Connection refused")
Open = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("clock")


async def test_waiting_asks_the_server_to_hold_its_response(face: Open):
    server = FakeServer(job_response("completed", result=3))
    job = await face(server).wait(JOB_ID)
    assert server.request.url.params["wait"] == "60.000"
    assert server.request.extensions["timeout"]["read"] == 70
    assert (job.state, job.result) == ("completed", 3)


async def test_waiting_goes_on_until_the_job_is_done(face: Open, clock: Clock):
    held = [clock.passes(60, job_response("running")) for _ in range(2)]
    server = FakeServer(*held, job_response("failed", errors=[FAILURE]))
    job = await face(server).wait(JOB_ID)
    assert job.state == "failed"
    assert clock.pauses == [POLL_PAUSE] * 2


async def test_waiting_ends_in_time(face: Open, clock: Clock):
    server = FakeServer(clock.passes(60, job_response("running")), clock.passes(9.8, job_response("running")))
    with pytest.raises(NotDoneInTime, match="still running after 70 s") as caught:
        await face(server).wait(JOB_ID, 70)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.job.state == "running"
    assert [request.url.params["wait"] for request in server.requests] == ["60.000", "9.800"]


async def test_a_wait_that_the_server_cuts_short_is_repeated(face: Open, clock: Clock):
    server = FakeServer(clock.passes(1, job_response("running")), job_response("completed"))
    assert (await face(server).wait(JOB_ID, 10)).done
    assert [request.url.params["wait"] for request in server.requests] == ["10.000", "8.800"]


async def test_waiting_zero_seconds_is_one_request(face: Open):
    server = FakeServer(job_response("running"))
    with pytest.raises(NotDoneInTime):
        await face(server).wait(JOB_ID, 0)
    assert server.request.url.query == b""


async def test_retries_do_not_make_a_wait_longer(face: Open, clock: Clock):
    server = FakeServer(*[REFUSED] * 7)
    with pytest.raises(ServerUnreachable):
        await face(server).wait(JOB_ID, 0.3)
    assert sum(clock.pauses) <= 0.3


async def test_submitting_may_wait(face: Open, clock: Clock):
    server = FakeServer(clock.passes(60, job_response(status=202)), job_response("completed"))
    job = await face(server).submit("echo", {}, wait=100)
    assert job.state == "completed"
    posted, looked = server.requests
    assert (posted.url.params["wait"], looked.url.params["wait"]) == ("60.000", "40.000")


async def test_submitting_returns_an_unfinished_job_after_the_wait(face: Open, clock: Clock):
    server = FakeServer(clock.passes(2, job_response("running", 202)))
    assert (await face(server).submit("echo", {}, wait=2)).state == "running"


async def test_the_result_of_a_job(face: Open):
    server = FakeServer(job_response("completed", result={"words": 2}))
    assert await face(server).result(JOB_ID) == {"words": 2}


async def test_a_finished_job_is_not_fetched_again(face: Open):
    done = Job.from_record(record("completed", result=1))
    assert await face(FakeServer()).result(done) == 1


async def test_a_failed_job_has_no_result(face: Open):
    server = FakeServer(job_response("failed", errors=[FAILURE]))
    with pytest.raises(JobFailed, match="failed: It was asked to fail") as caught:
        await face(server).result(JOB_ID)
    assert caught.value.code == "flaky_final"
    assert caught.value.job.errors[0].at == datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)


async def test_a_cancelled_job_has_no_result(face: Open):
    with pytest.raises(JobFailed, match="is cancelled") as caught:
        await face(FakeServer(job_response("cancelled"))).result(JOB_ID)
    assert caught.value.code == "job_cancelled"
