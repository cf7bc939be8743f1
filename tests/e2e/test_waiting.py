"""Clients that wait for their jobs: until they end, until the time is over, and through faults."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from dev.service import GRACEFUL_EXITS, Record, Service
from dev.stack import PATIENCE, wait_until

ECHO: Record = {"type": "echo", "params": {"message": 1}}
NAP: Record = {"type": "sleep", "params": {"seconds": 0.3}}
LONG: Record = {"type": "sleep", "params": {"seconds": 600}}
FAILING: Record = {"type": "flaky", "params": {"final": True}, "delay_seconds": 0.3}
Answer = Future[httpx.Response]


def wait_for(service: Service, job_id: str, pool: ThreadPoolExecutor) -> Answer:
    """Answer to come for a client that waits for the job already."""
    answer = pool.submit(service.call, "GET", f"/jobs/{job_id}", params={"wait": 60})
    wait_until(lambda: service.watched(job_id), "the API watches the job")
    return answer


def state(answer: Answer) -> str:
    """State of the job in the answer to a client that waited."""
    response = answer.result(timeout=PATIENCE)
    assert response.status_code == 200, response.text
    return str(response.json()["state"])


def submit(service: Service, job: Record, **request: Any) -> httpx.Response:
    return service.call("POST", "/jobs", json=job, **request)


# -- lengths of a wait


@pytest.mark.parametrize("asked", [{"headers": {"Prefer": "wait=9"}}, {"params": {"wait": "9"}}])
def test_a_submission_that_waits_is_answered_with_the_finished_job(service: Service, asked: Any) -> None:
    answer = submit(service, NAP, **asked)

    record = answer.json()
    assert (answer.status_code, record["state"], record["result"]) == (200, "completed", {"slept": 0.3})
    assert answer.headers["preference-applied"] == "wait=9"
    assert answer.headers["location"] == f"/jobs/{record['job_id']}"
    assert record == service.job(record["job_id"])


@pytest.mark.parametrize("asked", [{"headers": {"Prefer": "wait=9"}}, {"params": {"wait": "9"}}])
def test_a_read_that_waits_is_answered_with_the_finished_job(service: Service, asked: Any) -> None:
    job_id = service.submit("sleep", seconds=0.3)

    answer = service.call("GET", f"/v1/jobs/{job_id}", **asked)

    assert (answer.status_code, answer.json()["state"]) == (200, "completed")
    assert answer.headers["preference-applied"] == "wait=9"
    assert "retry-after" not in answer.headers


def test_a_job_that_has_ended_is_not_waited_for(service: Service) -> None:
    record = service.run("echo", message="done")
    start = time.monotonic()

    answer = service.call("GET", f"/jobs/{record['job_id']}", headers={"Prefer": "wait=600"})

    assert time.monotonic() - start < 30
    assert answer.json() == record
    assert answer.headers["preference-applied"] == "wait=60"  # a preference may be cut


def test_a_submission_waits_no_longer_than_it_was_asked_to(service: Service) -> None:
    start = time.monotonic()
    answer = submit(service, LONG, params={"wait": "0.3"})

    assert 0.3 <= time.monotonic() - start < 30
    assert (answer.status_code, answer.json()["done"]) == (202, False)
    assert answer.headers["preference-applied"] == "wait=0.3"
    assert int(answer.headers["retry-after"]) > 0


def test_a_read_waits_no_longer_than_it_was_asked_to(service: Service) -> None:
    job_id = service.submit_for_later("echo", message="not yet")

    start = time.monotonic()
    answer = service.call("GET", f"/jobs/{job_id}", params={"wait": "0.3"})

    assert 0.3 <= time.monotonic() - start < 30
    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    assert answer.headers["preference-applied"] == "wait=0.3"
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("wait", ["61", "60.1", "-1", "nan", "inf", "7e1", "", "soon", "٣"])
def test_a_wait_that_is_out_of_range_is_refused_and_makes_no_job(service: Service, wait: str) -> None:
    job_id, jobs = service.submit_for_later("echo", message="never"), service.info()["jobs"]
    answers = [
        submit(service, ECHO, params={"wait": wait}),
        service.call("GET", f"/jobs/{job_id}", params={"wait": wait}),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert answer.json()["details"][0]["path"] == "wait"
    assert sum(service.info()["jobs"].values()) == sum(jobs.values())


def test_a_job_that_does_not_exist_is_not_waited_for(service: Service) -> None:
    answer = service.call("GET", "/jobs/nobody", params={"wait": 60})

    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    assert not service.watched("nobody")


# -- ends of a wait


def test_a_job_that_fails_wakes_the_client(service: Service) -> None:
    answer = submit(service, FAILING, params={"wait": 60})

    assert (answer.status_code, answer.json()["state"]) == (200, "failed")


def test_a_pending_job_that_is_cancelled_wakes_the_client(service: Service, pool: ThreadPoolExecutor) -> None:
    job_id = service.submit_for_later("echo", message="never")
    answer = wait_for(service, job_id, pool)

    service.call("DELETE", f"/jobs/{job_id}")

    assert state(answer) == "cancelled"


def test_a_running_job_that_is_cancelled_wakes_the_client(service: Service, pool: ThreadPoolExecutor) -> None:
    job_id = service.submit_running("sleep", seconds=600)
    answer = wait_for(service, job_id, pool)

    service.call("DELETE", f"/jobs/{job_id}")

    assert state(answer) == "cancelled"


def test_changes_on_the_way_do_not_wake_the_client(service: Service, pool: ThreadPoolExecutor) -> None:
    job_id = service.submit_for_later("echo", message="never")
    answer = wait_for(service, job_id, pool)

    for _ in range(10):
        service.change(job_id)
    service.call("DELETE", f"/jobs/{job_id}")

    assert state(answer) == "cancelled"


def test_many_clients_wait_for_one_job(service: Service, pool: ThreadPoolExecutor) -> None:
    job_id = service.submit_for_later("echo", message="never")
    answers = [wait_for(service, job_id, pool) for _ in range(5)]

    service.call("DELETE", f"/jobs/{job_id}")

    assert [state(answer) for answer in answers] == ["cancelled"] * 5
    wait_until(lambda: not service.watched(job_id), "the API lets go of the job")


def test_a_client_waits_at_another_process_than_the_one_that_took_the_job(
    service: Service, other: Service, pool: ThreadPoolExecutor
) -> None:
    job_id = service.submit_for_later("echo", message="never")
    answer = wait_for(other, job_id, pool)

    service.call("DELETE", f"/jobs/{job_id}")

    assert state(answer) == "cancelled"


def test_a_client_that_leaves_is_not_waited_with(service: Service) -> None:
    job_id = service.submit_for_later("echo", message="never")
    with service.connection(f"/jobs/{job_id}?wait=60"):
        wait_until(lambda: service.watched(job_id), "the API watches the job")

    wait_until(lambda: not service.watched(job_id), "the API lets go of the job", seconds=30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_process_that_is_told_to_end_answers_who_waits_and_ends(
    service: Service, other: Service, pool: ThreadPoolExecutor, number: signal.Signals
) -> None:
    answers = [wait_for(other, service.submit_for_later("echo", message="not yet"), pool) for _ in range(3)]

    code = other.stop_api(within=30, number=number)

    assert code in GRACEFUL_EXITS
    assert [state(answer) for answer in answers] == ["pending"] * 3


# -- Redis goes away


@pytest.fixture
def outage(service: Service) -> Iterator[Service]:
    service.kill_redis()
    yield service
    service.stack.start_redis()


def test_without_redis_who_wants_to_wait_is_told_so_within_two_seconds(
    outage: Service, pool: ThreadPoolExecutor
) -> None:
    start = time.monotonic()
    answers = [
        pool.submit(outage.call, "GET", "/jobs/some-id", params={"wait": 60}),
        pool.submit(submit, outage, ECHO, params={"wait": 60}),
    ]

    found = [answer.result(timeout=PATIENCE) for answer in answers]

    assert time.monotonic() - start < 2
    for answer in found:
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
        assert answer.json()["retryable"] is True
        assert int(answer.headers["retry-after"]) > 0


def test_who_waits_does_not_notice_a_restart_of_redis(service: Service, pool: ThreadPoolExecutor) -> None:
    job_id = service.submit_for_later("echo", message="never")
    answer = wait_for(service, job_id, pool)
    service.kill_redis()
    service.stack.start_redis()
    wait_until(lambda: service.watched(job_id), "the API watches the job again")

    service.call("DELETE", f"/jobs/{job_id}")

    assert state(answer) == "cancelled"
