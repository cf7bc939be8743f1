"""Operations on queues and workers, figures and events of the service; the same for both faces."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from client import Client, Drained, Job, JobServerError, Sampled, Shards, Snapshot, Unavailable
from client.streaming import RECONNECT_PAUSE
from tests.unit.client.fake_server import (
    JOB_ID,
    PAUSED,
    Clock,
    FakeServer,
    error_response,
    event_stream,
    queue_record,
    record,
    shards_missing,
    worker_record,
)

Open = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("clock")


def answer(value: Any) -> httpx.Response:
    return httpx.Response(200, json=value)


# -- queues


async def test_the_queues(face: Open):
    server = FakeServer(answer({"items": [queue_record("gpu", **PAUSED), queue_record()]}))
    first, second = await face(server).queues()
    assert (server.request.method, server.request.url.path) == ("GET", "/v1/queues")
    assert (first.name, first.paused, first.pause.by, first.pause.reason) == ("gpu", True, "ops", "disk full")
    assert first.pause.at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert (second.ready, second.scheduled, second.running) == (12, 3, 4)
    assert (second.backlog, second.demand) == (16, 16)
    assert (second.oldest_wait_seconds, second.workers, second.concurrency) == (7.5, 2, 20)
    assert (second.paused, second.pause, second.raw) == (False, None, queue_record())
    assert (second.ended_last_minute.completed, second.ended_last_minute.total) == (120, 123)


async def test_one_queue_is_named_in_the_path(face: Open):
    server = FakeServer(answer(queue_record("a/b")))
    assert (await face(server).queue("a/b")).name == "a/b"
    assert server.request.url.raw_path == b"/v1/queues/a%2Fb"


async def test_a_queue_is_paused_with_a_reason_and_resumed(face: Open):
    server = FakeServer(
        answer(queue_record(**PAUSED)), answer(queue_record(**PAUSED)), answer(queue_record())
    )
    client = face(server)
    assert (await client.pause("default", "disk full")).paused
    assert (await client.pause("default")).paused
    assert not (await client.resume("default")).paused
    assert [(request.method, request.url.path) for request in server.requests] == [
        ("POST", "/v1/queues/default/pause"),
        ("POST", "/v1/queues/default/pause"),
        ("POST", "/v1/queues/default/resume"),
    ]
    assert [request.content for request in server.requests] == [b'{"reason":"disk full"}', b"", b""]


async def test_draining_goes_on_until_no_job_remains(face: Open):
    parts = [{"cancelled": 1000, "remaining": 700}, {"cancelled": 600, "remaining": 100}]
    server = FakeServer(*map(answer, parts), answer({"cancelled": 100, "remaining": 0}))
    assert await face(server).drain("default") == Drained(1700, 0)
    assert {request.url.path for request in server.requests} == {"/v1/queues/default/drain"}
    assert server.exhausted


async def test_draining_without_a_shard_ends_with_the_number_of_that_request(face: Open):
    """A second request would say that no job was cancelled."""
    server = FakeServer(answer({"cancelled": 1000, "remaining": 7}), shards_missing(2))
    with pytest.raises(JobServerError, match="were cancelled: 7") as caught:
        await face(server).drain("default")
    assert caught.value.missing_shards == (2,)
    assert server.exhausted


async def test_a_pause_is_sent_again_until_all_shards_answer(face: Open):
    server = FakeServer(shards_missing(2), answer(queue_record(**PAUSED)))
    assert (await face(server).pause("default")).paused


async def test_queues_workers_and_figures_say_what_is_missing(face: Open):
    shards = {"count": 8, "missing": [2, 5]}
    server = FakeServer(
        answer({"items": [queue_record(incomplete=True), queue_record()]}),
        answer({"items": [worker_record()], "incomplete": True}),
        answer({"items": []}),
        answer({**FIGURES, "shards": shards}),
        answer(FIGURES),
        event_stream(service_event("figures", {**SNAPSHOT, "shards": shards})),
    )
    client = face(server)
    assert [queue.incomplete for queue in await client.queues()] == [True, False]
    assert [(await client.workers()).incomplete for _ in range(2)] == [True, False]
    assert [(await client.figures()).shards for _ in range(2)] == [Shards(8, (2, 5)), Shards(1, ())]
    (snapshot,) = await first(1, client.events())
    assert snapshot.shards.missing == (2, 5)


async def test_draining_ends_if_nothing_more_can_be_cancelled(face: Open):
    parts = [{"cancelled": 5, "remaining": 1}, {"cancelled": 0, "remaining": 1}]
    assert await face(FakeServer(*map(answer, parts))).drain("default") == Drained(5, 1)


async def test_a_change_of_a_queue_is_sent_again_after_a_broken_connection(face: Open):
    server = FakeServer(httpx.ReadError("broken"), answer(queue_record(**PAUSED)))
    assert (await face(server).pause("default")).paused


async def test_a_key_without_the_scope_is_refused(face: Open):
    with pytest.raises(JobServerError, match="forbidden"):
        await face(FakeServer(error_response(403, "forbidden"))).drain("default")


# -- workers and figures


async def test_the_workers(face: Open):
    server = FakeServer(answer({"items": [worker_record()]}))
    (worker,) = await face(server).workers()
    assert server.request.url.path == "/v1/workers"
    assert (worker.worker_id, worker.host, worker.pid, worker.release) == (
        "0a1b2c3d4e5f",
        "node-1",
        4711,
        "0.2.0",
    )
    assert (worker.queues, worker.concurrency, worker.running) == (("gpu", "default"), 10, 1)
    assert (worker.memory_bytes, worker.lease_seconds_left) == (61_400_000, 12.25)
    assert worker.seen_at == datetime(2026, 1, 1, 12, 0, 2, tzinfo=UTC)
    assert [(job.job_id, job.type, job.queue) for job in worker.jobs] == [(JOB_ID, "sleep", "gpu")]
    assert worker.models == ({"type": "embed", "state": "ready"},)
    assert worker.raw == worker_record()


BUCKET = {
    "at": "2026-01-01T12:00:00.000000Z",
    "submitted": 5,
    "completed": 3,
    "failed": 1,
    "cancelled": 0,
}
TYPE = {
    "sampled": 4,
    "completed": 3,
    "failed": 1,
    "failure_share": 0.25,
    "run_seconds": {"p50": 0.1, "p99": 0.9},
    "wait_seconds": None,
}


FIGURES = {
    "at": "2026-01-01T12:00:09.000000Z",
    "jobs": {"pending": 2, "running": 1},
    "history": {"seconds": 10, "buckets": [BUCKET]},
    "job_types": {"echo": TYPE},
}


async def test_the_figures(face: Open):
    server = FakeServer(answer(FIGURES))
    figures = await face(server).figures()
    assert server.request.url.path == "/v1/figures"
    assert (figures.at, figures.jobs) == (datetime(2026, 1, 1, 12, 0, 9, tzinfo=UTC), FIGURES["jobs"])
    assert (figures.history.seconds, figures.history.buckets[0].submitted) == (10, 5)
    echo = figures.job_types["echo"]
    assert (echo.failure_share, echo.run_seconds.p99, echo.wait_seconds) == (0.25, 0.9, None)


# -- events


SNAPSHOT = {
    "at": "2026-01-01T12:00:09.000000Z",
    "jobs": {"pending": 2},
    "queues": [queue_record(**PAUSED)],
    "workers": {"alive": 2, "concurrency": 20, "running": 4},
    "buckets": [BUCKET],
}
UNAVAILABLE = {"code": "queue_unavailable", "message": "Redis does not answer.", "hint": "Wait."}


def service_event(kind: str, data: dict[str, Any]) -> bytes:
    return httpx.Response(200, json=data).content.join([f"event: {kind}\ndata: ".encode(), b"\n\n"])


def without_payload() -> dict[str, Any]:
    found = record("running", version=2, queue_paused=False)
    del found["params"], found["result"]
    return found


async def first(number: int, events: Any) -> list[Any]:
    found = []
    async for event in events:
        found.append(event)
        if len(found) == number:
            break
    return found


async def test_each_event_has_its_model(face: Open):
    stream = event_stream(
        b"retry: 1000\n" + service_event("figures", SNAPSHOT),
        service_event("job", without_payload()) + b": still here\n\n" + service_event("news", {}),
        service_event("sampled", {"missed": 70}),
        service_event("unavailable", UNAVAILABLE),
    )
    server = FakeServer(stream)
    snapshot, job, sampled, unavailable = await first(4, face(server).events())
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.jobs, snapshot.workers.alive, snapshot.buckets[0].completed) == ({"pending": 2}, 2, 3)
    assert snapshot.queues[0].pause.by == "ops"
    assert isinstance(job, Job)
    assert (job.state, job.version, job.params, job.result) == ("running", 2, {}, None)
    assert job.raw == without_payload()
    assert sampled == Sampled(70)
    assert unavailable == Unavailable("queue_unavailable", "Redis does not answer.", "Wait.")


async def test_events_are_filtered_by_the_server(face: Open):
    server = FakeServer(event_stream(service_event("figures", SNAPSHOT)))
    await first(1, face(server).events(state="failed", label={"team": "a"}))
    assert server.request.url.path == "/v1/events"
    assert dict(server.request.url.params) == {"state": "failed", "label": "team=a"}


async def test_a_broken_stream_of_events_is_opened_again(face: Open, clock: Clock):
    server = FakeServer(
        event_stream(service_event("sampled", {"missed": 1}), b"event: fig", whole=False),
        httpx.ConnectError("refused"),
        event_stream(service_event("sampled", {"missed": 2})),
    )
    assert await first(2, face(server).events()) == [Sampled(1), Sampled(2)]
    assert clock.pauses[0] == RECONNECT_PAUSE


async def test_a_refused_stream_of_events_is_an_error(face: Open):
    with pytest.raises(JobServerError, match="unauthorized"):
        await first(1, face(FakeServer(error_response(401, "unauthorized"))).events())


def test_leaving_the_events_closes_the_connection():
    stream = event_stream(service_event("sampled", {"missed": 1}))
    client = Client("http://jobs.test", transport=httpx.MockTransport(FakeServer(stream)))
    events = client.events()
    next(events)
    events.close()
    assert stream.is_closed
