"""How the client follows a job: its changes, its log, and what became of its webhook."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from client import Client, Job, JobExpired, JobServerError, LogLine, NotFound
from client.streaming import HEARTBEAT, RECONNECT_PAUSE
from tests.unit.client.fake_server import (
    FAILURE,
    JOB_ID,
    Clock,
    FakeServer,
    all_of,
    event,
    events,
    line,
    log_event,
    refused,
)

REFUSED = httpx.ConnectError("Connection refused")
Open = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("clock")


# -- changes


async def test_a_stream_yields_each_change_and_ends_with_the_job(face: Open):
    server = FakeServer(events(event("pending", 1), event("running", 2) + event("completed", 3)))
    changes = await all_of(face(server).stream(JOB_ID))
    assert [(change.state, change.version) for change in changes] == [
        ("pending", 1),
        ("running", 2),
        ("completed", 3),
    ]
    assert server.request.url.path == f"/v1/jobs/{JOB_ID}/events"
    assert "Last-Event-ID" not in server.request.headers


async def test_a_stream_that_breaks_is_taken_up_where_it_broke(face: Open, clock: Clock):
    server = FakeServer(
        events(event("pending", 1), event("running", 2)[:30], whole=False),
        REFUSED,
        events(event("running", 2), event("completed", 4)),
    )
    changes = await all_of(face(server).stream(JOB_ID))
    assert [change.version for change in changes] == [1, 2, 4]
    assert server.requests[2].headers["Last-Event-ID"] == "1"
    assert clock.pauses[0] == RECONNECT_PAUSE


async def test_a_stream_that_the_server_ends_early_is_taken_up(face: Open):
    server = FakeServer(events(event("running", 2)), events(event("completed", 3)))
    assert [change.version async for change in face(server).stream(JOB_ID)] == [2, 3]


async def test_a_change_that_was_seen_is_not_shown_again(face: Open):
    server = FakeServer(events(event("running", 2)), events(event("running", 2), event("completed", 3)))
    assert [change.version async for change in face(server).stream(JOB_ID)] == [2, 3]


async def test_a_server_with_nothing_more_to_tell_ends_the_stream(face: Open):
    server = FakeServer(events(event("running", 2)), httpx.Response(204))
    assert [change.version async for change in face(server).stream(JOB_ID)] == [2]


async def test_a_heartbeat_is_no_change(face: Open):
    server = FakeServer(events(b"retry: 1000\n\n", b": still here\n\n", event("completed", 3)))
    assert len(await all_of(face(server).stream(JOB_ID))) == 1
    assert server.request.extensions["timeout"]["read"] > HEARTBEAT


async def test_a_stream_of_a_job_that_is_not_there(face: Open):
    server = FakeServer(refused(404, "job_not_found"))
    with pytest.raises(JobServerError, match="job_not_found"):
        await all_of(face(server).stream(JOB_ID))


async def test_whoever_leaves_a_stream_closes_the_connection():
    stream = events(event("running", 2), event("completed", 3))
    client = Client("http://jobs.test", transport=httpx.MockTransport(FakeServer(stream)))
    changes = client.stream(JOB_ID)
    assert next(changes).version == 2
    changes.close()
    assert stream.is_closed


async def test_an_event_of_an_unknown_kind_is_passed_over(face: Open):
    server = FakeServer(events(log_event(1), b"event: news\ndata: 7\n\n", event("completed", 3)))
    assert [change.version async for change in face(server).stream(JOB_ID)] == [3]


# -- logs


def told(news: list[Any]) -> list[str]:
    return [item.message if isinstance(item, LogLine) else item.state for item in news]


async def test_following_yields_the_log_between_the_changes(face: Open):
    server = FakeServer(
        events(event("running", 2), log_event(1, "a") + log_event(2, "b"), event("completed", 3))
    )
    news = await all_of(face(server).follow(JOB_ID))
    assert told(news) == ["running", "a", "b", "completed"]
    assert isinstance(news[0], Job)


async def test_no_line_comes_twice_when_the_connection_breaks(face: Open):
    server = FakeServer(
        events(event("running", 2), log_event(1, "a"), log_event(2, "b"), whole=False),
        events(log_event(1, "a"), log_event(2, "b"), log_event(3, "c"), event("completed", 4)),
    )
    assert told(await all_of(face(server).follow(JOB_ID))) == ["running", "a", "b", "c", "completed"]
    assert server.requests[1].headers["Last-Event-ID"] == "2"


async def test_the_log_so_far(face: Open):
    server = FakeServer(httpx.Response(200, json={"items": [line(8), line(9, "done", pages=3)], "total": 9}))
    _, last = await face(server).logs(JOB_ID, after=7)
    assert str(server.request.url) == f"http://jobs.test/v1/jobs/{JOB_ID}/logs?after=7"
    assert (last.seq, last.attempt, last.message, last.fields) == (9, 1, "done", {"pages": 3})
    assert last.at == datetime(2026, 1, 1, 12, 0, 9, 500_000, tzinfo=UTC)
    assert last.raw == line(9, "done", pages=3)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(404, "job_not_found", NotFound), (410, "job_expired", JobExpired), (410, "gone", JobServerError)],
)
async def test_a_job_that_is_not_there_is_an_error_of_its_own(face: Open, status: int, code: str, kind: type):
    with pytest.raises(JobServerError, match=code) as caught:
        await face(FakeServer(refused(status, code))).logs(JOB_ID)
    assert type(caught.value) is kind


def test_a_job_that_is_kept_no_longer_is_not_found_either():
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


async def test_how_a_webhook_was_delivered(face: Open):
    server = FakeServer(httpx.Response(200, json=WEBHOOK))
    webhook = await face(server).webhook(JOB_ID)
    assert (server.request.method, server.request.url.path) == ("GET", f"/v1/jobs/{JOB_ID}/webhook")
    assert (webhook.url, webhook.webhook_id) == ("https://a.test/", f"evt_{JOB_ID}")
    first, second = webhook.deliveries
    assert (first.number, first.attempts[0].code, first.status) == (1, "flaky_final", 204)
    assert first.delivered_at == datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
    assert (second.state, second.delivered_at, second.status) == ("pending", None, None)


async def test_a_webhook_is_sent_again(face: Open):
    server = FakeServer(refused(503, "queue_unavailable"), httpx.Response(202, json=WEBHOOK))
    assert len((await face(server).redeliver(JOB_ID)).deliveries) == 2
    assert {(request.method, request.url.path) for request in server.requests} == {
        ("POST", f"/v1/jobs/{JOB_ID}/webhook/redeliver")
    }


async def test_a_job_without_a_webhook(face: Open):
    with pytest.raises(NotFound, match="webhook_not_found"):
        await face(FakeServer(refused(404, "webhook_not_found"))).webhook(JOB_ID)
