"""Jobs after long outages, after the death of the only worker, and out of every queue: all are run."""

import signal
import time
from collections.abc import Iterator

import pytest

from dev.service import Record, Service, json_lines, serving
from dev.stack import wait_until
from shared.store import redis_keys

LEASE = 1.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Service]:
    with serving(WORKER_LEASE_SECONDS=str(LEASE), WORKER_CONCURRENCY="8", RETAIN_COMPLETED="1") as service:
        yield service


@pytest.fixture
def service(cluster: Service) -> Iterator[Service]:
    """An API and Redis; a test starts its own workers, which do not outlive it."""
    yield cluster
    cluster.reset()


def test_an_outage_of_three_leases_costs_no_attempt(service: Service) -> None:
    service.start_workers(2)
    ends_meanwhile = [service.submit("sleep", seconds=1) for _ in range(8)]
    outlasts_it = [service.submit("sleep", seconds=3 * LEASE + 2) for _ in range(8)]
    wait_until(lambda: service.info()["queues"]["default"]["running"] == 16, "every slot is taken")
    assert service.stack.redis is not None
    service.stack.redis.send_signal(signal.SIGSTOP)
    time.sleep(3 * LEASE)
    service.stack.redis.send_signal(signal.SIGCONT)

    records = [ended(service, job_id) for job_id in ends_meanwhile + outlasts_it]

    assert [(r["attempt"], r["errors"]) for r in records] == [("1", None)] * 16


def ended(service: Service, job_id: str) -> Record:
    """Fields of a completed job, read from Redis: the record is kept for a second."""
    record: Record = {}

    def is_done() -> bool:
        fields = service.redis.hmget(redis_keys.RECORD + job_id, "state", "attempt", "errors")
        record.update(zip(("state", "attempt", "errors"), (f and f.decode() for f in fields), strict=True))
        return record["state"] == "completed"

    wait_until(is_done, "the job is completed")
    return record


def test_a_job_whose_only_worker_died_is_shown_as_it_is(service: Service) -> None:
    [worker] = service.start_workers(1)
    job_id = service.submit_running("sleep", seconds=60)
    worker.kill()

    record = service.wait_for(job_id, "pending")

    assert [error["code"] for error in record["errors"]] == ["worker_lost"]


def test_a_job_whose_only_worker_died_can_be_cancelled(service: Service) -> None:
    [worker] = service.start_workers(1)
    job_id = service.submit_running("sleep", seconds=60)
    worker.kill()
    assert service.call("DELETE", f"/jobs/{job_id}").status_code == 202

    record = service.wait_for(job_id, "cancelled")

    assert record["cancel_requested"]
    assert service.call("DELETE", f"/jobs/{job_id}").status_code == 200


def test_a_job_that_nothing_leads_to_is_found_and_performed(service: Service) -> None:
    job_id = service.submit("echo", message="lost")
    service.redis.delete(redis_keys.QUEUE + "default", redis_keys.MESSAGE + job_id)
    service.start_workers(1)

    record = ended(service, job_id)

    assert (record["attempt"], record["errors"]) == ("1", None)
    lines = [line for worker in service.workers for line in worker.lines]
    lines += json_lines(service.stack.output("api"))  # the upkeep of either may have found the job
    repaired = [line["job_id"] for line in lines if line["event"] == "repaired a job that was lost"]
    assert repaired == [job_id]


def test_a_key_whose_job_has_expired_makes_no_second_one(service: Service) -> None:
    service.start_workers(1)
    key = {"Idempotency-Key": "once"}
    job_id = service.submit("echo", message=1, headers=key)
    wait_until(lambda: service.call("GET", f"/jobs/{job_id}").status_code == 410, "the record expires")

    answer = service.post("echo", message=1, headers=key)

    assert (answer.status_code, answer.json()["code"]) == (410, "job_expired")
    assert job_id in answer.json()["message"]
    assert service.post("echo", message=2, headers=key).status_code == 422


def test_a_tiny_time_to_start_is_a_time_to_start(service: Service) -> None:
    body = {"type": "echo", "params": {"message": 1}, "start_within_seconds": 0.0001}
    job_id = service.call("POST", "/jobs", json=body).json()["job_id"]
    record = service.wait_for(job_id, "failed")
    assert [error["code"] for error in record["errors"]] == ["job_expired"]
