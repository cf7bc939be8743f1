"""What the client sends, and what it makes of the answers; the same for both of its faces."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from client import (
    AsyncClient,
    Client,
    Job,
    JobFailed,
    JobServerError,
    NewJob,
    NotDoneInTime,
    Retries,
    ServerUnreachable,
)
from client.client import POLL_PAUSE
from tests.unit.client.fake_server import (
    FAILURE,
    JOB_ID,
    Clock,
    FakeServer,
    all_of,
    answer,
    page,
    record,
    refused,
)

REFUSED = httpx.ConnectError("Connection refused")
Open = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("clock")


# -- requests


async def test_submitting_posts_the_job(face: Open):
    server = FakeServer(answer(status=202))
    job = await face(server).submit("word_count", {"text": "to be"})
    assert (server.request.method, str(server.request.url)) == ("POST", "http://jobs.test/v1/jobs")
    assert server.bodies() == [{"type": "word_count", "params": {"text": "to be"}}]
    assert (job.job_id, job.state, job.done) == (JOB_ID, "pending", False)


async def test_submitting_tells_when_to_start_and_what_to_find_it_by(face: Open):
    server = FakeServer(answer(status=202))
    at = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    await face(server).submit(
        "echo", {}, run_at=at, start_within=60, labels={"team": "a"}, webhook="https://a"
    )
    (body,) = server.bodies()
    assert body["run_at"] == "2026-01-01T12:00:00+01:00"
    assert (body["start_within_seconds"], body["labels"]) == (60, {"team": "a"})
    assert body["webhook"] == {"url": "https://a"}
    assert "delay_seconds" not in body


async def test_a_delay_of_nothing_is_told_too(face: Open):
    server = FakeServer(answer(status=202))
    await face(server).submit("echo", {}, delay=0)
    assert server.bodies()[0]["delay_seconds"] == 0


async def test_a_time_without_a_zone_is_not_guessed_at(face: Open):
    with pytest.raises(ValueError, match="no time zone"):
        await face(FakeServer()).submit("echo", {}, run_at=datetime(2026, 1, 1))


async def test_a_number_that_json_lacks_is_never_sent(face: Open):
    with pytest.raises(ValueError, match="JSON"):
        await face(FakeServer()).submit("echo", {"message": float("nan")})


async def test_the_key_goes_with_every_request(face: Open):
    server = FakeServer(answer(), answer())
    client = face(server, key="s3cret")
    await client.get(JOB_ID)
    await client.cancel(JOB_ID)
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer s3cret"] * 2


async def test_without_a_key_none_is_sent(face: Open):
    server = FakeServer(answer())
    await face(server).get(JOB_ID)
    assert "Authorization" not in server.request.headers


async def test_a_batch_is_one_request(face: Open):
    server = FakeServer(httpx.Response(202, json={"items": [record(), record("running")]}))
    jobs = await face(server).submit_batch([NewJob("echo", {"message": 1}), NewJob("echo", {}, delay=2)])
    assert server.request.url.path == "/v1/jobs/batch"
    assert server.bodies() == [
        {
            "jobs": [
                {"type": "echo", "params": {"message": 1}},
                {"type": "echo", "params": {}, "delay_seconds": 2},
            ]
        }
    ]
    assert [job.state for job in jobs] == ["pending", "running"]
    assert server.keys()[0]


async def test_cancelling_deletes(face: Open):
    server = FakeServer(answer("running", 202, cancel_requested=True))
    job = await face(server).cancel(JOB_ID)
    assert (server.request.method, server.request.url.path) == ("DELETE", f"/v1/jobs/{JOB_ID}")
    assert job.cancel_requested


async def test_a_job_is_done_again_as_a_new_one(face: Open):
    server = FakeServer(answer(status=202, retry_of=JOB_ID))
    job = await face(server).retry(JOB_ID)
    assert (server.request.method, server.request.url.path) == ("POST", f"/v1/jobs/{JOB_ID}/retry")
    assert job.retry_of == JOB_ID
    assert server.keys()[0]


async def test_a_job_names_itself(face: Open):
    server = FakeServer(answer(), answer("cancelled"))
    client = face(server)
    await client.cancel(await client.get(JOB_ID))
    assert server.requests[1].url.path == f"/v1/jobs/{JOB_ID}"


async def test_an_id_can_not_lead_elsewhere(face: Open):
    server = FakeServer(answer())
    await face(server).get("a/../b?c#d")
    assert server.request.url.raw_path == b"/v1/jobs/a%2F..%2Fb%3Fc%23d"


async def test_an_address_may_have_a_path_of_its_own():
    server = FakeServer(answer())
    with Client("http://proxy.test/queue/", transport=httpx.MockTransport(server)) as client:
        client.get(JOB_ID)
    assert str(server.request.url) == f"http://proxy.test/queue/v1/jobs/{JOB_ID}"


# -- retries


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_an_answer_that_passes_is_tried_again(face: Open, clock: Clock, status: int):
    server = FakeServer(httpx.Response(status), httpx.Response(status), answer())
    assert (await face(server).get(JOB_ID)).job_id == JOB_ID
    assert len(clock.pauses) == 2


@pytest.mark.parametrize("passing", [REFUSED, httpx.ReadTimeout("late"), httpx.ReadError("cut")])
async def test_a_connection_that_fails_is_tried_again(face: Open, clock: Clock, passing: Exception):
    server = FakeServer(passing, passing, answer())
    assert (await face(server).get(JOB_ID)).job_id == JOB_ID
    assert len(server.requests) == 3
    assert len(clock.pauses) == 2


@pytest.mark.parametrize("status", [404, 409, 422, 500])
async def test_what_does_not_pass_is_not_tried_again(face: Open, clock: Clock, status: int):
    server = FakeServer(refused(status, "no"))
    with pytest.raises(JobServerError):
        await face(server).get(JOB_ID)
    assert clock.pauses == []


async def test_the_server_says_how_long_to_wait(face: Open, clock: Clock):
    server = FakeServer(refused(503, "queue_full", retry_after="5"), answer(status=202))
    await face(server).submit("echo", {})
    (pause,) = clock.pauses
    assert 5 < pause < 5.3


async def test_a_submission_that_is_repeated_keeps_its_key_and_its_body(face: Open):
    server = FakeServer(REFUSED, refused(503, "queue_full"), answer(status=202))
    await face(server).submit("echo", {"message": 1})
    assert len(set(server.keys())) == 1
    assert server.bodies() == [{"type": "echo", "params": {"message": 1}}] * 3


async def test_each_submission_has_a_key_of_its_own(face: Open):
    server = FakeServer(answer(status=202), answer(status=202))
    client = face(server)
    await client.submit("echo", {})
    await client.submit("echo", {})
    assert len(set(server.keys())) == 2


async def test_the_key_may_be_chosen(face: Open):
    server = FakeServer(answer(status=202), answer(status=202), answer(status=202))
    client = face(server)
    await client.submit("echo", {}, idempotency_key="k")
    await client.retry(JOB_ID, idempotency_key="k")
    await client.submit("echo", {}, idempotency_key="k")
    assert server.keys() == ["k"] * 3


async def test_it_gives_up_after_so_many_repetitions(face: Open):
    server = FakeServer(*[REFUSED] * 3)
    with pytest.raises(ServerUnreachable, match=r"http://jobs.test/ does not answer \(Connection refused\)"):
        await face(server, retries=Retries(most=2)).get(JOB_ID)
    assert server.exhausted


async def test_it_gives_up_when_the_time_is_over(face: Open, clock: Clock):
    server = FakeServer(*[refused(503, "queue_full", retry_after="20") for _ in range(3)])
    with pytest.raises(JobServerError, match="queue_full"):
        await face(server, retries=Retries(seconds=50)).get(JOB_ID)
    assert 40 < sum(clock.pauses) <= 50


# -- waiting


async def test_waiting_asks_the_server_to_hold_its_answer(face: Open):
    server = FakeServer(answer("completed", result=3))
    job = await face(server).wait(JOB_ID)
    assert server.request.url.params["wait"] == "60.000"
    assert server.request.extensions["timeout"]["read"] == 70
    assert (job.state, job.result) == ("completed", 3)


async def test_waiting_goes_on_until_the_job_is_done(face: Open, clock: Clock):
    held = [clock.passes(60, answer("running")) for _ in range(2)]
    server = FakeServer(*held, answer("failed", errors=[FAILURE]))
    job = await face(server).wait(JOB_ID)
    assert job.state == "failed"
    assert clock.pauses == [POLL_PAUSE] * 2


async def test_waiting_ends_in_time(face: Open, clock: Clock):
    server = FakeServer(clock.passes(60, answer("running")), clock.passes(9.8, answer("running")))
    with pytest.raises(NotDoneInTime, match="still running after 70 s") as caught:
        await face(server).wait(JOB_ID, 70)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.job.state == "running"
    assert [request.url.params["wait"] for request in server.requests] == ["60.000", "9.800"]


async def test_a_wait_that_the_server_cuts_short_is_asked_for_again(face: Open, clock: Clock):
    server = FakeServer(clock.passes(1, answer("running")), answer("completed"))
    assert (await face(server).wait(JOB_ID, 10)).done
    assert [request.url.params["wait"] for request in server.requests] == ["10.000", "8.800"]


async def test_waiting_for_nothing_is_one_look(face: Open):
    server = FakeServer(answer("running"))
    with pytest.raises(NotDoneInTime):
        await face(server).wait(JOB_ID, 0)
    assert server.request.url.query == b""


async def test_a_server_that_is_away_does_not_make_a_wait_longer(face: Open, clock: Clock):
    server = FakeServer(*[REFUSED] * 7)
    with pytest.raises(ServerUnreachable):
        await face(server).wait(JOB_ID, 0.3)
    assert sum(clock.pauses) <= 0.3


async def test_submitting_may_wait(face: Open, clock: Clock):
    server = FakeServer(clock.passes(60, answer(status=202)), answer("completed"))
    job = await face(server).submit("echo", {}, wait=100)
    assert job.state == "completed"
    posted, looked = server.requests
    assert (posted.url.params["wait"], looked.url.params["wait"]) == ("60.000", "40.000")


async def test_a_job_that_is_not_done_in_time_comes_back_as_it_is(face: Open, clock: Clock):
    server = FakeServer(clock.passes(2, answer("running", 202)))
    assert (await face(server).submit("echo", {}, wait=2)).state == "running"


async def test_the_result_of_a_job(face: Open):
    server = FakeServer(answer("completed", result={"words": 2}))
    assert await face(server).result(JOB_ID) == {"words": 2}


async def test_a_job_that_is_known_to_be_done_is_not_asked_for(face: Open):
    done = Job.from_record(record("completed", result=1))
    assert await face(FakeServer()).result(done) == 1


async def test_a_failed_job_has_no_result(face: Open):
    server = FakeServer(answer("failed", errors=[FAILURE]))
    with pytest.raises(JobFailed, match="failed: It was asked to fail") as caught:
        await face(server).result(JOB_ID)
    assert caught.value.code == "flaky_final"
    assert caught.value.job.errors[0].at == datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)


async def test_a_cancelled_job_has_no_result(face: Open):
    with pytest.raises(JobFailed, match="is cancelled") as caught:
        await face(FakeServer(answer("cancelled"))).result(JOB_ID)
    assert caught.value.code == "job_cancelled"


# -- listing


async def test_listing_follows_the_pages(face: Open):
    server = FakeServer(page(record(), record(), cursor="c1"), page(cursor="c2"), page(record()))
    assert len(await all_of(face(server).iter_jobs())) == 3
    assert [request.url.params.get("cursor") for request in server.requests] == [None, "c1", "c2"]
    assert server.exhausted


async def test_listing_asks_for_what_is_wanted(face: Open):
    server = FakeServer(page())
    jobs = face(server).iter_jobs(state="failed", type="echo", label={"team": "a", "run": "7"}, limit=5)
    assert await all_of(jobs) == []
    query = server.request.url.params
    assert (query["state"], query["type"], query["limit"]) == ("failed", "echo", "5")
    assert query.get_list("label") == ["team=a", "run=7"]
    assert query["fields"] == "params,result"


async def test_listing_asks_for_no_more_than_it_may_yield(face: Open):
    server = FakeServer(page(*[record()] * 100, cursor="c"), page(*[record()] * 20, cursor="d"))
    assert len(await all_of(face(server).iter_jobs(limit=120))) == 120
    assert [request.url.params["limit"] for request in server.requests] == ["100", "20"]


async def test_pages_are_fetched_as_they_are_needed(face: Open):
    server = FakeServer(page(record(), cursor="c"))
    async for _ in face(server).iter_jobs():
        break
    assert len(server.requests) == 1


# -- the faces


def operations(face: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(face, callable) if not name.startswith("_")}


def test_both_faces_have_the_same_operations_with_the_same_arguments_and_words():
    blocking, awaiting = operations(Client), operations(AsyncClient)
    assert blocking.keys() == awaiting.keys()
    for name, method in blocking.items():
        assert inspect.signature(method) == inspect.signature(awaiting[name])
        assert method.__doc__ == awaiting[name].__doc__
        assert method.__doc__


async def test_a_client_closes_its_connections_with_its_block():
    server = FakeServer(answer(), answer())
    with Client(transport=httpx.MockTransport(server)) as client:
        client.get(JOB_ID)
    async with AsyncClient(transport=httpx.MockTransport(server)) as awaiting:
        await awaiting.get(JOB_ID)
    with pytest.raises(RuntimeError, match="closed"):
        client.get(JOB_ID)
    with pytest.raises(RuntimeError, match="closed"):
        await awaiting.get(JOB_ID)


# -- without a scope to read


async def test_a_key_that_may_not_read_gets_the_receipt_of_a_job(face: Open):
    receipt = {"job_id": JOB_ID, "state": "completed", "done": True}
    server = FakeServer(
        httpx.Response(202, json=receipt),
        httpx.Response(202, json={"items": [receipt]}),
        httpx.Response(202, json=receipt),
    )
    client = face(server)
    job = await client.submit("word_count", {})
    (second,) = await client.submit_batch([NewJob("word_count", {})])
    webhook = await client.redeliver(job)
    assert (job.job_id, job.state, job.done, job.raw) == (JOB_ID, "completed", True, receipt)
    assert (job.type, job.result, job.params, job.errors, job.version) == ("", None, {}, (), 0)
    assert job.created_at == datetime(2025, 11, 23, 17, 28, 24, 592000, UTC)
    assert second == job
    assert (webhook.url, webhook.deliveries) == ("", ())
