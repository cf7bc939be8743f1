"""Redis starts late, goes away and returns; no process exits, and no job is lost."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from dev.service import Service, json_lines
from dev.stack import Stack, wait_until


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An API and two workers that were started before there was a Redis."""
    stack = Stack(tmp_path_factory.mktemp("late"), WORKER_GRACE_SECONDS="0", WORKER_LEASE_SECONDS="10")
    service = Service(stack)
    try:
        workers = [service.start_worker() for _ in range(2)]
        stack.start_api()
        for worker in workers:
            wait_until(lambda: worker.log("Redis is away; running jobs go on"), "the worker misses Redis")  # noqa: B023
        stack.start_redis()
        yield service
    finally:
        stack.close()
        service.close()


def test_the_processes_may_start_before_redis(service: Service) -> None:
    wait_until(lambda: service.call("GET", "/readyz").json()["status"] == "pass", "all are ready")

    record = service.run("echo", message="late, but here")

    assert record["attempt"] == 1
    assert all(worker.alive for worker in service.workers)


def test_a_redis_that_is_killed_and_restarted_loses_no_job(service: Service) -> None:
    with ThreadPoolExecutor(8) as pool:
        running = [service.submit("sleep", seconds=2) for _ in range(20)]
        waiting = list(pool.map(lambda n: service.submit("echo", message=n), range(200)))
    wait_until(lambda: service.info()["queues"]["default"]["running"] == 20, "every slot is taken")
    assert service.job(waiting[-1])["state"] == "pending"
    service.kill_redis()
    wait_until(lambda: service.call("GET", "/readyz").status_code == 503, "the API misses Redis")

    start = time.monotonic()
    service.stack.start_redis()
    wait_until(lambda: all(service.job(job_id)["done"] for job_id in waiting[:1]), "service is back")

    assert time.monotonic() - start < 5
    for job_id in running + waiting:
        record = service.wait_for(job_id, "completed")
        assert (record["attempt"], record["errors"]) == (1, [])
    assert service.stack.api is not None
    assert service.stack.api.poll() is None
    for worker in service.workers:
        assert worker.alive
        assert len(worker.log("Redis is away; running jobs go on")) <= 2  # one each time, not one a try
        assert worker.log("Redis is back")


@pytest.fixture
def outage(service: Service) -> Iterator[Service]:
    service.kill_redis()
    yield service
    service.stack.start_redis()


def test_without_redis_the_api_says_so_within_two_seconds(outage: Service) -> None:
    body = {"type": "echo", "params": {"message": "anybody?"}}
    calls: list[Callable[[], httpx.Response]] = [
        lambda: outage.call("POST", "/jobs", json=body),
        lambda: outage.call("GET", "/jobs/some-id"),
        lambda: outage.call("DELETE", "/v1/jobs/some-id"),
        lambda: outage.call("GET", "/server/info"),
    ]

    def timed(call: Callable[[], httpx.Response]) -> tuple[float, httpx.Response]:
        start = time.monotonic()
        answer = call()
        return time.monotonic() - start, answer

    with ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(timed, calls))

    for seconds, answer in answers:
        error: dict[str, Any] = answer.json()
        assert seconds < 2
        assert (answer.status_code, error["code"], error["retryable"]) == (503, "queue_unavailable", True)
        assert int(answer.headers["retry-after"]) > 0


def test_without_redis_the_api_is_alive_but_not_ready(outage: Service) -> None:
    start = time.monotonic()
    health, readiness = outage.call("GET", "/healthz"), outage.call("GET", "/readyz")

    assert time.monotonic() - start < 2
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert (readiness.status_code, readiness.json()["status"]) == (503, "fail")


def test_what_was_refused_before_works_after_the_outage(service: Service) -> None:
    assert service.run("echo", message="again")["attempt"] == 1


def test_every_line_about_the_outages_is_a_json_object(service: Service) -> None:
    assert json_lines(service.stack.output("api"))
    assert all(worker.lines for worker in service.workers)
