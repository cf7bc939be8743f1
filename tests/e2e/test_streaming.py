"""Clients that follow a job's events: from its record at once to its end, and through faults."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from dev.service import GRACEFUL_EXITS, Record, Service
from dev.stack import Process, wait_until
from shared.store import redis_keys

LARGE = "x" * 1_000_000


class Event(NamedTuple):
    """Event of a stream: the version as its id, and the record."""

    id: int
    record: Record


@contextlib.contextmanager
def following(service: Service, job_id: str, **headers: str) -> Iterator[Iterator[Event]]:
    """The events of a job, as they come."""
    with service.http.stream(
        "GET", f"{service.stack.api_url}/jobs/{job_id}/events", headers=headers
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        yield parse(answer.iter_lines())


def parse(lines: Iterator[str]) -> Iterator[Event]:
    """Read the stream as the standard says, as far as this API uses it."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield Event(int(fields["id"]), json.loads(fields["data"]))
            fields.clear()


def refused(service: Service, job_id: str, **headers: str) -> httpx.Response:
    """The answer to a client that gets no stream."""
    return service.call("GET", f"/jobs/{job_id}/events", headers=headers)


# -- events


def test_a_stream_begins_with_the_record_as_it_is(service: Service) -> None:
    job_id = service.submit_for_later("echo", message="later")
    service.change(job_id)

    with following(service, job_id) as events:
        first = next(events)

    assert first.id == first.record["version"] == 2
    assert first.record["state"] == "pending"


def test_every_change_is_told(service: Service) -> None:
    job_id = service.submit_for_later("echo", message="later")
    with following(service, job_id) as events:
        told = [next(events).id]
        for _ in range(20):
            service.change(job_id)
            told.append(next(events).id)

    assert told == list(range(1, 22))


def test_a_job_is_followed_to_its_end(service: Service) -> None:
    with contextlib.ExitStack() as stack:
        with service.paused():
            job_id = service.submit("sleep", seconds=1)
            events = stack.enter_context(following(service, job_id))
        told = list(events)

    versions = [event.id for event in told]
    assert versions == sorted(set(versions)) == [event.record["version"] for event in told]
    progress = [event.record["progress"]["fraction"] for event in told if event.record["progress"]]
    assert progress == sorted(progress)
    assert len(set(progress)) > 3
    assert [event.record["done"] for event in told] == [False] * (len(told) - 1) + [True]
    assert told[-1].record == service.job(job_id)
    wait_until(lambda: not service.watched(job_id), "the API lets go of the job")


@pytest.mark.parametrize("final", [True, False])
def test_a_stream_ends_however_the_job_does(service: Service, final: bool) -> None:
    job_id = service.submit("flaky", final=final, failures=1)
    with following(service, job_id) as events:
        *_, last = events

    assert last.record["state"] == ("failed" if final else "completed")
    assert len(last.record["errors"]) == 1


def test_a_running_job_that_is_cancelled_ends_its_stream(service: Service) -> None:
    job_id = service.submit_running("sleep", seconds=600)
    with following(service, job_id) as events:
        assert next(events).record["state"] == "running"
        service.call("DELETE", f"/jobs/{job_id}")
        *_, last = events

    assert (last.record["state"], last.record["cancel_requested"]) == ("cancelled", True)


def test_a_job_that_does_not_exist_is_not_followed(service: Service) -> None:
    answer = refused(service, "nobody")

    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    assert answer.headers["content-type"] == "application/json"


def test_a_job_that_vanishes_ends_its_stream(service: Service) -> None:
    job_id = service.submit_for_later("echo", message="later")
    with following(service, job_id) as events:
        next(events)
        service.redis.delete(redis_keys.RECORD + job_id)
        service.redis.publish(redis_keys.CHANGES + job_id, "2")
        assert list(events) == []


# -- clients that reconnect


def test_a_client_that_comes_back_is_told_what_it_has_not_seen(service: Service) -> None:
    job_id = service.submit_for_later("echo", message="later")
    with following(service, job_id) as events:
        seen = next(events).id
    service.change(job_id)

    with following(service, job_id, **{"Last-Event-ID": str(seen)}) as events:
        assert next(events).id == seen + 1


def test_a_client_that_has_seen_all_is_told_only_what_comes(service: Service) -> None:
    job_id = service.submit_for_later("echo", message="later")
    with following(service, job_id, **{"Last-Event-ID": "1"}) as events:
        wait_until(lambda: service.watched(job_id), "the API watches the job")
        service.change(job_id)
        assert next(events).id == 2


def test_a_client_that_missed_the_end_is_told_of_it(service: Service) -> None:
    record = service.run("echo", message="done")
    with following(service, record["job_id"], **{"Last-Event-ID": str(record["version"] - 1)}) as events:
        assert [event.record for event in events] == [record]


def test_a_client_that_has_seen_the_end_need_not_come_back(service: Service) -> None:
    record = service.run("echo", message="done")

    answer = refused(service, record["job_id"], **{"Last-Event-ID": str(record["version"])})

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("seen", ["", "-1", "1.5", "abc", "9" * 30])
def test_an_id_that_was_never_sent_counts_for_nothing(service: Service, seen: str) -> None:
    record = service.run("echo", message="done")
    with following(service, record["job_id"], **{"Last-Event-ID": seen}) as events:
        assert [event.record for event in events] == [record]


# -- clients that read slowly or leave


def test_a_client_that_leaves_is_not_followed_for(service: Service) -> None:
    job_id = service.submit_for_later("echo", message="later")
    with service.connection(f"/jobs/{job_id}/events"):
        wait_until(lambda: service.watched(job_id), "the API watches the job")

    wait_until(lambda: not service.watched(job_id), "the API lets go of the job", seconds=10)


def test_a_client_that_does_not_read_costs_no_memory_and_holds_up_nobody(service: Service) -> None:
    job_id = service.submit_for_later("echo", message=LARGE)
    with service.connection(f"/jobs/{job_id}/events") as idle, following(service, job_id) as events:
        newest = next(events).id
        before = memory(service.stack.api)
        for _ in range(60):
            newest = service.change(job_id)
            assert next(events).id == newest
        grown = memory(service.stack.api) - before

        assert grown < 25_000_000
        assert ids_until(idle, newest) < 40  # the newest version, and few of those before


def ids_until(connection: socket.socket, newest: int) -> int:
    """Number of events up to the newest."""
    ids = (int(line[4:]) for line in connection.makefile("rb") if line.startswith(b"id: "))
    return next(count for count, version in enumerate(ids, 1) if version == newest)


def memory(process: Process | None) -> int:
    """Resident memory of a process in bytes."""
    assert process is not None
    [kilobytes] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return int(kilobytes) * 1024


# -- processes that end


def test_a_process_that_is_told_to_end_ends_its_streams(service: Service, other: Service) -> None:
    job_id = service.submit_for_later("echo", message="later")
    with following(other, job_id) as events:
        next(events)
        code = other.stop_api(within=30)
        assert list(events) == []

    assert code in GRACEFUL_EXITS


def test_a_stream_goes_on_after_a_restart_of_redis(service: Service) -> None:
    job_id = service.submit_for_later("echo", message="later")
    with following(service, job_id) as events:
        next(events)
        service.kill_redis()
        service.stack.start_redis()
        service.change(job_id)
        assert next(events).id == 2
        service.call("DELETE", f"/jobs/{job_id}")
        assert [event.record["state"] for event in events] == ["cancelled"]


def test_without_redis_nobody_is_followed(service: Service) -> None:
    service.kill_redis()
    try:
        answer = refused(service, "some-id")
    finally:
        service.stack.start_redis()

    assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
