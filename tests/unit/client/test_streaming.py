"""Streams of changes and log lines, over connections that break; and the parser of their events."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as some

from client import Client, Job, JobServerError, LogLine
from client.streaming import HEARTBEAT, RECONNECT_PAUSE, Event, EventReader
from tests.unit.client.fake_server import (
    JOB_ID,
    Clock,
    FakeServer,
    all_of,
    error_response,
    event,
    event_stream,
    log_event,
)

REFUSED = httpx.ConnectError("Connection refused")
Open = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("clock")


# -- changes


async def test_a_stream_yields_each_change_and_ends_with_the_job(face: Open):
    server = FakeServer(event_stream(event("pending", 1), event("running", 2) + event("completed", 3)))
    changes = await all_of(face(server).stream(JOB_ID))
    assert [(change.state, change.version) for change in changes] == [
        ("pending", 1),
        ("running", 2),
        ("completed", 3),
    ]
    assert server.request.url.path == f"/v1/jobs/{JOB_ID}/events"
    assert "Last-Event-ID" not in server.request.headers


async def test_a_broken_stream_is_resumed_after_its_last_event(face: Open, clock: Clock):
    server = FakeServer(
        event_stream(event("pending", 1), event("running", 2)[:30], whole=False),
        REFUSED,
        event_stream(event("running", 2), event("completed", 4)),
    )
    changes = await all_of(face(server).stream(JOB_ID))
    assert [change.version for change in changes] == [1, 2, 4]
    assert server.requests[2].headers["Last-Event-ID"] == "1"
    assert clock.pauses[0] == RECONNECT_PAUSE


async def test_a_stream_that_the_server_ends_early_is_resumed(face: Open):
    server = FakeServer(event_stream(event("running", 2)), event_stream(event("completed", 3)))
    assert [change.version async for change in face(server).stream(JOB_ID)] == [2, 3]


async def test_a_repeated_change_is_skipped(face: Open):
    server = FakeServer(
        event_stream(event("running", 2)), event_stream(event("running", 2), event("completed", 3))
    )
    assert [change.version async for change in face(server).stream(JOB_ID)] == [2, 3]


async def test_status_204_ends_the_stream(face: Open):
    server = FakeServer(event_stream(event("running", 2)), httpx.Response(204))
    assert [change.version async for change in face(server).stream(JOB_ID)] == [2]


async def test_a_heartbeat_is_no_change(face: Open):
    server = FakeServer(event_stream(b"retry: 1000\n\n", b": still here\n\n", event("completed", 3)))
    assert len(await all_of(face(server).stream(JOB_ID))) == 1
    assert server.request.extensions["timeout"]["read"] > HEARTBEAT


async def test_a_stream_of_a_missing_job_is_an_error(face: Open):
    server = FakeServer(error_response(404, "job_not_found"))
    with pytest.raises(JobServerError, match="job_not_found"):
        await all_of(face(server).stream(JOB_ID))


async def test_leaving_a_stream_closes_the_connection():
    stream = event_stream(event("running", 2), event("completed", 3))
    client = Client("http://jobs.test", transport=httpx.MockTransport(FakeServer(stream)))
    changes = client.stream(JOB_ID)
    assert next(changes).version == 2
    changes.close()
    assert stream.is_closed


async def test_an_event_of_an_unknown_kind_is_skipped(face: Open):
    server = FakeServer(event_stream(log_event(1), b"event: news\ndata: 7\n\n", event("completed", 3)))
    assert [change.version async for change in face(server).stream(JOB_ID)] == [3]


# -- log lines


def summary(items: list[Any]) -> list[str]:
    return [item.message if isinstance(item, LogLine) else item.state for item in items]


async def test_following_yields_the_log_between_the_changes(face: Open):
    server = FakeServer(
        event_stream(event("running", 2), log_event(1, "a") + log_event(2, "b"), event("completed", 3))
    )
    items = await all_of(face(server).follow(JOB_ID))
    assert summary(items) == ["running", "a", "b", "completed"]
    assert isinstance(items[0], Job)


async def test_a_log_line_comes_once_over_two_connections(face: Open):
    server = FakeServer(
        event_stream(event("running", 2), log_event(1, "a"), log_event(2, "b"), whole=False),
        event_stream(log_event(1, "a"), log_event(2, "b"), log_event(3, "c"), event("completed", 4)),
    )
    assert summary(await all_of(face(server).follow(JOB_ID))) == ["running", "a", "b", "c", "completed"]
    assert server.requests[1].headers["Last-Event-ID"] == "2"


# -- events


STREAM = (
    b"retry: 5\n\n: hello\n\nid: 1\ndata: {\ndata:  \xc3\xbc\xe2\x80\xa8 }\n\r\n"
    b"event: other\r\ndata\r\n\r\nid\rdata:x\r\r\n"
)
EVENTS = [Event("1", "message", "{\n ü\u2028 }"), Event("1", "other", ""), Event("", "message", "x")]


def read(*chunks: bytes) -> list[Event]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [("", "a")]),
        (b"data:a\n\n", [("", "a")]),
        (b"data:  a\n\n", [("", " a")]),
        (b"data: a\ndata: b\n\n", [("", "a\nb")]),
        (b"data\ndata\n\n", [("", "\n")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", "a"), ("", "b")]),
        (b"data: a\r\rdata: b\n\n", [("", "a"), ("", "b")]),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [("7", "a"), ("7", "b")]),
        (b"data: a:b\n\n", [("", "a:b")]),
        (b": a comment\n\n:\n\n", []),
        (b"id: 7\n\n", []),
        (b"what: is this\ndata: a\n\n", [("", "a")]),
        (b"data: unfinished\n", []),
        (b"", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[tuple[str, str]]):
    assert [(event.id, event.data) for event in read(stream)] == events


def test_only_the_standard_ends_of_lines_end_a_line():
    text = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g"
    assert [event.data for event in read(f"data: {text}\n\n".encode())] == [text]


def test_the_last_id_is_kept_for_the_next_connection():
    reader = EventReader("4")
    assert reader.last_id == "4"
    reader.feed(b"id: 5\ndata: a\n\n")
    assert reader.last_id == "5"


def test_an_incomplete_event_leaves_the_last_id():
    reader = EventReader()
    reader.feed(b"id: 5\ndata: a\n\nid: 6\ndata: b\n")
    assert reader.last_id == "5"


@given(some.lists(some.integers(0, len(STREAM)), max_size=20).map(sorted))
def test_the_cuts_make_no_difference(cuts: list[int]):
    edges = [0, *cuts, len(STREAM)]
    assert read(*(STREAM[a:b] for a, b in pairwise(edges))) == EVENTS


def test_byte_by_byte_it_is_the_same():
    assert read(*(bytes([byte]) for byte in STREAM)) == EVENTS
