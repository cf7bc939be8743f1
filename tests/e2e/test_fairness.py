"""Fairness: a free worker gets the next job at once, however busy the others are."""

import os
from collections.abc import Iterator
from datetime import datetime
from statistics import median

import pytest

from dev.service import Record, Service, serving
from dev.stack import free_port, wait_until
from tests.e2e.commands import finish, run_python

BUSY_WORKERS, SLOTS = 2, 100


@pytest.fixture(scope="module")
def busy_service() -> Iterator[Service]:
    """An API, and 2 workers whose 100 slots are all taken."""
    with serving(workers=BUSY_WORKERS, WORKER_CONCURRENCY=str(SLOTS)) as service:
        for _ in range(BUSY_WORKERS * SLOTS):
            service.submit("sleep", seconds=600)
        wait_until(lambda: running(service) == BUSY_WORKERS * SLOTS, "every slot is taken")
        yield service


def test_a_free_worker_starts_a_new_job_within_a_second(busy_service: Service) -> None:
    service = busy_service
    queued = service.submit("echo", message="nobody is free")
    assert service.job(queued)["state"] == "pending"
    free = service.start_workers(1)[0]
    assert delay(service.wait_for(queued, "completed")) > 0

    records = [service.run("echo", message=n) for n in range(20)]

    assert median(map(delay, records)) < 1  # one of them may meet a machine that is busy for a while
    assert len(free.log("job completed", type="echo")) == 21
    assert running(service) == BUSY_WORKERS * SLOTS


def test_the_check_finds_a_live_worker(busy_service: Service) -> None:
    code, output = check(busy_service.stack.redis_url)

    assert (code, output) == (0, "")


def test_the_check_fails_without_a_worker(busy_service: Service) -> None:
    code, output = check(busy_service.stack.redis_url.removesuffix("0") + "1")

    assert code == 1
    assert output.startswith("unhealthy: no worker of host ")


def test_the_check_fails_without_redis() -> None:
    code, output = check(f"redis://127.0.0.1:{free_port()}/0")

    assert code == 1
    assert output.startswith("unhealthy: Redis does not answer")


def running(service: Service) -> int:
    return int(service.info()["queues"]["default"]["running"])


def delay(record: Record) -> float:
    """Seconds from the acceptance of a job to its start."""
    accepted, started = (datetime.fromisoformat(record[name]) for name in ("created_at", "started_at"))
    return (started - accepted).total_seconds()


def check(redis_url: str) -> tuple[int, str]:
    """The exit code and the output of `python -m worker --check`."""
    environment = {**os.environ, "REDIS_URL": redis_url}
    return finish(run_python("-m", "worker", "--check", **environment))
