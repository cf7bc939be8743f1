"""A slow link to Redis: large results take their time, and no call is given up."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dev.forwarder import forwarding
from dev.service import Service, serving
from dev.stack import wait_until
from shared.store import redis_keys
from tests.e2e.large_result_worker import LARGE

RATE = 5e6  # bytes a second: a large result needs longer than an API waits for a silent Redis
JOBS = 3


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    module = "tests.e2e.large_result_worker"
    with (
        forwarding(rate=RATE) as link,
        serving(workers=1, worker_module=module, link=link, WORKER_LEASE_SECONDS="1.5") as service,
    ):
        yield service


def test_large_results_arrive_at_their_first_attempt(service: Service) -> None:
    job_ids = [service.submit("echo", message=n) for n in range(JOBS)]
    for job_id in job_ids:
        wait_until(lambda: state(service, job_id) == "completed", "the job is completed")  # noqa: B023
    for job_id in job_ids:
        assert service.redis.hmget(redis_keys.RECORD + job_id, "attempt", "claims") == [b"1", b"1"]


def state(service: Service, job_id: str) -> str:
    """The state alone: the record would keep the link busy."""
    found = service.redis.hget(redis_keys.RECORD + job_id, "state")
    return str(found.decode())


def test_a_large_result_is_read_and_other_requests_go_on_meanwhile(
    service: Service, pool: ThreadPoolExecutor
) -> None:
    job_id, small = service.submit("echo", message="large"), service.submit_for_later("echo", message="small")
    wait_until(lambda: state(service, job_id) == "completed", "the job is completed")

    begun = time.monotonic()
    reading = pool.submit(service.call, "GET", f"/jobs/{job_id}")
    others = []
    while not reading.done():
        others.append(service.call("GET", f"/jobs/{small}").status_code)
        others.append(service.post("sleep", seconds=0).status_code)

    assert time.monotonic() - begun > len(LARGE) / RATE * 0.9
    assert reading.result().json()["result"]["message"] == LARGE
    assert set(others) == {200, 202}
