"""Fail-over with open connections: they lead to the former primary, which takes no writes."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dev.replication import RedisPair, replicated
from dev.service import Service, serving
from dev.stack import wait_until
from shared.store import redis_keys

SOON = 30.0  # seconds in which anything that should happen does: less than a heartbeat takes here


@pytest.fixture(scope="module")
def pair() -> Iterator[RedisPair]:
    with replicated() as pair:
        yield pair


@pytest.fixture(scope="module")
def service(pair: RedisPair) -> Iterator[Service]:
    """An API and two workers, with a heartbeat every 60 s: it brings nothing in time for these tests."""
    settings = {"WORKER_LEASE_SECONDS": "180", "WORKER_GRACE_SECONDS": "0"}
    with serving(workers=2, link=pair.forwarder, **settings) as service:
        yield service


def fail_over(pair: RedisPair) -> None:
    pair.fail_over()
    pair.isolate_replica()


def rejoin(pair: RedisPair) -> None:
    """Let the former primary follow the new one, so that there can be another fail-over."""
    pair.replica.replicaof("127.0.0.1", pair.primary.connection_pool.connection_kwargs["port"])


@pytest.fixture
def failed_over(service: Service, pair: RedisPair) -> Iterator[Service]:
    """The service after a fail-over, with connections that led to the former primary, but for their jobs."""
    assert service.run("echo", message="before")["attempt"] == 1
    fail_over(pair)
    yield service
    rejoin(pair)


def test_jobs_are_accepted_and_performed_after_it(failed_over: Service) -> None:
    begun = time.monotonic()
    job_ids = [failed_over.submit("echo", message=n) for n in range(20)]  # the first of them must be accepted
    wait_until(lambda: failed_over.call("GET", f"/jobs/{job_ids[0]}").status_code == 200, "a read works")
    records = [failed_over.wait_for(job_id, "completed", seconds=SOON) for job_id in job_ids]

    assert time.monotonic() - begun < SOON
    assert {(record["attempt"], len(record["errors"])) for record in records} == {(1, 0)}
    assert all(worker.alive for worker in failed_over.workers)


def test_a_running_job_goes_on_and_is_charged_nothing(service: Service, pair: RedisPair) -> None:
    job_id = service.submit_running("sleep", seconds=1.5)
    fail_over(pair)
    try:
        assert service.run("echo", message="wakes the connections")["attempt"] == 1
        record = service.wait_for(job_id, "completed", seconds=SOON)
        assert (record["attempt"], record["errors"]) == (1, [])
    finally:
        rejoin(pair)


def test_a_running_job_can_be_cancelled_after_it(service: Service, pair: RedisPair) -> None:
    job_id = service.submit_running("sleep", seconds=60)
    fail_over(pair)
    try:
        wait_until(lambda: listeners(pair) == 2, "both workers listen", seconds=SOON)
        assert service.call("DELETE", f"/jobs/{job_id}").status_code == 202
        assert service.wait_for(job_id, "cancelled", seconds=SOON)["done"]
    finally:
        rejoin(pair)


def test_who_waits_or_streams_hears_of_the_end(
    service: Service, pair: RedisPair, pool: ThreadPoolExecutor
) -> None:
    job_id = service.submit_running("sleep", seconds=2)
    waiting = pool.submit(service.call, "GET", f"/jobs/{job_id}?wait=20")
    streaming = pool.submit(stream, service, job_id)
    wait_until(lambda: pair.primary.pubsub_channels(redis_keys.CHANGES + job_id), "the API listens")
    fail_over(pair)
    try:
        assert service.run("echo", message="wakes the connections")["attempt"] == 1
        begun = time.monotonic()
        assert waiting.result().json()["state"] == "completed"
        assert streaming.result()[-1]["state"] == "completed"
        assert time.monotonic() - begun < SOON
    finally:
        rejoin(pair)


def listeners(pair: RedisPair) -> int:
    [(_, count)] = pair.primary.pubsub_numsub(redis_keys.CANCEL)
    return int(count)


def stream(service: Service, job_id: str) -> list[dict[str, object]]:
    """The records that a stream sends until it ends."""
    lines = service.call("GET", f"/jobs/{job_id}/events").text.splitlines()
    return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]
