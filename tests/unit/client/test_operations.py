"""Requests of each operation, and what they return; the same for both faces."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from client import JobExpired, JobServerError, NewJob, NotFound
from tests.unit.client.fake_server import (
    FAILURE,
    JOB_ID,
    FakeServer,
    all_of,
    error_response,
    job_response,
    log_record,
    page_response,
    record,
)

Open = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("clock")


# -- jobs


async def test_submitting_posts_the_job(face: Open):
    server = FakeServer(job_response(status=202))
    job = await face(server).submit("word_count", {"text": "to be"})
    assert (server.request.method, str(server.request.url)) == ("POST", "http://jobs.test/v1/jobs")
    assert server.bodies() == [{"type": "word_count", "params": {"text": "to be"}}]
    assert (job.job_id, job.state, job.done) == (JOB_ID, "pending", False)


async def test_submitting_sends_start_labels_and_webhook(face: Open):
    server = FakeServer(job_response(status=202))
    at = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    await face(server).submit(
        "echo", {}, run_at=at, start_within=60, labels={"team": "a"}, webhook="https://a"
    )
    (body,) = server.bodies()
    assert body["run_at"] == "2026-01-01T12:00:00+01:00"
    assert (body["start_within_seconds"], body["labels"]) == (60, {"team": "a"})
    assert body["webhook"] == {"url": "https://a"}
    assert "delay_seconds" not in body


async def test_a_delay_of_zero_is_sent(face: Open):
    server = FakeServer(job_response(status=202))
    await face(server).submit("echo", {}, delay=0)
    assert server.bodies()[0]["delay_seconds"] == 0


async def test_a_time_without_a_zone_is_refused(face: Open):
    with pytest.raises(ValueError, match="no time zone"):
        await face(FakeServer()).submit("echo", {}, run_at=datetime(2026, 1, 1))


async def test_a_number_that_json_lacks_is_never_sent(face: Open):
    with pytest.raises(ValueError, match="JSON"):
        await face(FakeServer()).submit("echo", {"message": float("nan")})


async def test_the_api_key_goes_with_every_request(face: Open):
    server = FakeServer(job_response(), job_response())
    client = face(server, key="s3cret")
    await client.get(JOB_ID)
    await client.cancel(JOB_ID)
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer s3cret"] * 2


async def test_without_an_api_key_there_is_no_header(face: Open):
    server = FakeServer(job_response())
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


async def test_cancelling_sends_delete(face: Open):
    server = FakeServer(job_response("running", 202, cancel_requested=True))
    job = await face(server).cancel(JOB_ID)
    assert (server.request.method, server.request.url.path) == ("DELETE", f"/v1/jobs/{JOB_ID}")
    assert job.cancel_requested


async def test_a_retry_is_a_new_job(face: Open):
    server = FakeServer(job_response(status=202, retry_of=JOB_ID))
    job = await face(server).retry(JOB_ID)
    assert (server.request.method, server.request.url.path) == ("POST", f"/v1/jobs/{JOB_ID}/retry")
    assert job.retry_of == JOB_ID
    assert server.keys()[0]


async def test_a_job_stands_for_its_id(face: Open):
    server = FakeServer(job_response(), job_response("cancelled"))
    client = face(server)
    await client.cancel(await client.get(JOB_ID))
    assert server.requests[1].url.path == f"/v1/jobs/{JOB_ID}"


async def test_an_id_is_quoted_in_the_path(face: Open):
    server = FakeServer(job_response())
    await face(server).get("a/../b?c#d")
    assert server.request.url.raw_path == b"/v1/jobs/a%2F..%2Fb%3Fc%23d"


# -- listing


async def test_listing_follows_the_pages(face: Open):
    server = FakeServer(
        page_response(record(), record(), cursor="c1"), page_response(cursor="c2"), page_response(record())
    )
    assert len(await all_of(face(server).iter_jobs())) == 3
    assert [request.url.params.get("cursor") for request in server.requests] == [None, "c1", "c2"]
    assert server.exhausted


async def test_listing_sends_its_filters(face: Open):
    server = FakeServer(page_response())
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    filters = {"state": "failed", "type": "echo", "queue": "gpu", "caller": "me", "created_after": at}
    jobs = face(server).iter_jobs(**filters, label={"team": "a", "run": "7"}, limit=5)
    assert await all_of(jobs) == []
    query = server.request.url.params
    assert (query["state"], query["type"], query["limit"]) == ("failed", "echo", "5")
    assert (query["queue"], query["caller"]) == ("gpu", "me")
    assert query["created_after"] == "2026-01-01T12:00:00+00:00"
    assert "created_before" not in query
    assert query.get_list("label") == ["team=a", "run=7"]
    assert query["fields"] == "params,result"


async def test_listing_fetches_no_more_than_its_limit(face: Open):
    server = FakeServer(
        page_response(*[record()] * 100, cursor="c"), page_response(*[record()] * 20, cursor="d")
    )
    assert len(await all_of(face(server).iter_jobs(limit=120))) == 120
    assert [request.url.params["limit"] for request in server.requests] == ["100", "20"]


async def test_each_page_says_whether_jobs_are_missing(face: Open):
    server = FakeServer(
        page_response(record(), cursor="c", incomplete=True),
        page_response(record(), record(), incomplete=False),
    )
    pages = await all_of(face(server).iter_pages(limit=5, state="pending"))
    assert [(len(page.jobs), page.incomplete) for page in pages] == [(1, True), (2, False)]
    assert [request.url.params["limit"] for request in server.requests] == ["5", "4"]


async def test_pages_are_fetched_as_they_are_needed(face: Open):
    server = FakeServer(page_response(record(), cursor="c"))
    async for _ in face(server).iter_jobs():
        break
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("filters", "error", "text"),
    [
        ({"queue": ""}, ValueError, "'queue' is empty"),
        ({"created_after": datetime(2026, 1, 1)}, ValueError, "no time zone"),
        ({"lable": {"team": "a"}}, TypeError, "no filter 'lable'; use state, type"),
    ],
)
async def test_a_wrong_filter_is_never_sent(face: Open, filters: Any, error: type[Exception], text: str):
    server = FakeServer()
    client = face(server)
    with pytest.raises(error, match=text):
        await all_of(client.iter_jobs(**filters))
    with pytest.raises(error, match=text):
        await client.cancel_jobs(**filters)
    with pytest.raises(error, match=text):
        await all_of(client.events(**filters))


# -- attempts and records


async def test_the_attempts_at_a_job(face: Open):
    lost = {
        "attempt": 1,
        "started_at": "2026-01-01T12:00:00.000000Z",
        "ended_at": "2026-01-01T12:00:20.000000Z",
        "outcome": "lost",
        "worker": "0a1b2c3d4e5f",
        "error": FAILURE,
    }
    running = {**lost, "attempt": 2, "ended_at": None, "outcome": "running", "error": None}
    server = FakeServer(httpx.Response(200, json={"items": [lost, running]}))
    first, second = await face(server).attempts(JOB_ID)
    assert server.request.url.path == f"/v1/jobs/{JOB_ID}/attempts"
    assert (first.attempt, first.outcome, first.worker) == (1, "lost", "0a1b2c3d4e5f")
    assert first.ended_at == datetime(2026, 1, 1, 12, 0, 20, tzinfo=UTC)
    assert first.error.code == "flaky_final"
    assert (second.outcome, second.ended_at, second.error, second.raw) == ("running", None, None, running)


async def test_forgetting_deletes_the_record(face: Open):
    server = FakeServer(httpx.Response(204))
    assert await face(server).forget(JOB_ID) is None
    assert (server.request.method, server.request.url.path) == ("DELETE", f"/v1/jobs/{JOB_ID}/record")


# -- logs


async def test_the_log_so_far(face: Open):
    server = FakeServer(
        httpx.Response(200, json={"items": [log_record(8), log_record(9, "done", pages=3)], "total": 9})
    )
    _, last = await face(server).logs(JOB_ID, after=7)
    assert str(server.request.url) == f"http://jobs.test/v1/jobs/{JOB_ID}/logs?after=7"
    assert (last.seq, last.attempt, last.message, last.fields) == (9, 1, "done", {"pages": 3})
    assert last.at == datetime(2026, 1, 1, 12, 0, 9, 500_000, tzinfo=UTC)
    assert last.raw == log_record(9, "done", pages=3)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(404, "job_not_found", NotFound), (410, "job_expired", JobExpired), (410, "gone", JobServerError)],
)
async def test_an_error_has_the_class_of_its_code(face: Open, status: int, code: str, kind: type):
    with pytest.raises(JobServerError, match=code) as caught:
        await face(FakeServer(error_response(status, code))).logs(JOB_ID)
    assert type(caught.value) is kind


def test_an_expired_job_is_not_found():
    assert issubclass(JobExpired, NotFound)


# -- webhooks


DELIVERED = {
    "number": 1,
    "state": "completed",
    "done": True,
    "attempt": 2,
    "attempts": [FAILURE],
    "next_attempt_at": None,
    "delivered_at": "2026-01-01T12:00:05.000000Z",
    "status": 204,
}
PENDING = {**DELIVERED, "number": 2, "state": "pending", "delivered_at": None, "status": None}
WEBHOOK = {"url": "https://a.test/", "webhook_id": f"evt_{JOB_ID}", "deliveries": [DELIVERED, PENDING]}


async def test_a_webhook_has_its_deliveries(face: Open):
    server = FakeServer(httpx.Response(200, json=WEBHOOK))
    webhook = await face(server).webhook(JOB_ID)
    assert (server.request.method, server.request.url.path) == ("GET", f"/v1/jobs/{JOB_ID}/webhook")
    assert (webhook.url, webhook.webhook_id) == ("https://a.test/", f"evt_{JOB_ID}")
    first, second = webhook.deliveries
    assert (first.number, first.attempts[0].code, first.status) == (1, "flaky_final", 204)
    assert first.delivered_at == datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
    assert (second.state, second.delivered_at, second.status) == ("pending", None, None)


async def test_a_webhook_is_redelivered(face: Open):
    server = FakeServer(error_response(503, "queue_unavailable"), httpx.Response(202, json=WEBHOOK))
    assert len((await face(server).redeliver(JOB_ID)).deliveries) == 2
    assert {(request.method, request.url.path) for request in server.requests} == {
        ("POST", f"/v1/jobs/{JOB_ID}/webhook/redeliver")
    }


async def test_a_job_without_a_webhook_is_not_found(face: Open):
    with pytest.raises(NotFound, match="webhook_not_found"):
        await face(FakeServer(error_response(404, "webhook_not_found"))).webhook(JOB_ID)


# -- without a scope to read


async def test_a_key_without_a_scope_to_read_gets_receipts(face: Open):
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
