"""Metrics of real processes: their sums are those of the records, even after a kill and a loss of data."""

import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from dev.service import Service, WorkerProcess, accepted, serving
from dev.stack import free_port, wait_until
from tests.e2e.scrapes import Samples, scrape, sum_of

FINISHED, RESCUED = "job_server_jobs_finished_total", "job_server_jobs_rescued_total"
JOBS, UP = "job_server_queue_jobs", "job_server_redis_up"


class Watched:
    """A service with two workers whose metrics can be scraped."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.ports = [free_port(), free_port()]
        self.workers = [
            service.start_worker(WORKER_METRICS_PORT=str(port), WORKER_LEASE_SECONDS="1")
            for port in self.ports
        ]
        for worker in self.workers:
            worker.wait_ready()

    def api(self) -> Samples:
        return scrape(self.service.stack.api_url)

    def of(self, worker: WorkerProcess) -> Samples:
        return scrape(f"http://127.0.0.1:{self.ports[self.workers.index(worker)]}")

    def ended(self) -> Counter[tuple[str, ...]]:
        """The ended jobs by outcome and type, from their records."""
        records = self.service.call("GET", "/jobs?limit=200").json()["items"]
        return Counter((record["state"], record["type"]) for record in records if record["done"])

    def queue(self) -> dict[str, int]:
        """The jobs of the queue `default` by state, from Redis."""
        status = self.service.call("GET", "/queues/default").json()
        return {state: status[state] for state in ("ready", "running", "scheduled")}

    def gauges(self) -> dict[str, int]:
        found = self.api().get(JOBS, Counter())
        return {state: found["default", state] for state in ("ready", "running", "scheduled")}

    def submit(self, job_type: str, params: dict[str, Any], **options: Any) -> str:
        body = {"type": job_type, "params": params, **options}
        return accepted(self.service.call("POST", "/jobs", json=body))


@pytest.fixture
def watched() -> Iterator[Watched]:
    with serving() as service:
        yield Watched(service)


def test_the_sums_of_all_processes_are_those_of_the_records(watched: Watched):
    service = watched.service
    end_in_every_way(watched)
    lost = service.submit_running("sleep", seconds=60)
    victim = service.holder(lost)
    [survivor] = [worker for worker in watched.workers if worker is not victim]
    last = watched.of(victim)
    victim.kill()
    wait_until(lambda: service.job(lost)["attempt"] == 2, "the job is rescued, and runs again")
    service.call("DELETE", f"/jobs/{lost}")
    service.wait_for(lost, "cancelled")

    def sums() -> list[Samples]:
        return [last, watched.of(survivor), watched.api()]

    wait_until(lambda: sum_of(FINISHED, *sums()) == watched.ended(), "the counters are those of the records")
    assert watched.ended().keys() >= {
        ("completed", "echo"),
        ("failed", "flaky"),
        ("completed", "flaky"),
        ("cancelled", "sleep"),
        ("failed", "echo"),
    }
    assert sum_of(RESCUED, *sums()) == {(): 1}
    assert sum_of("job_server_jobs_retried_total", *sums()) == {("flaky",): 1}
    submitted = sum_of("job_server_jobs_submitted_total", *sums())
    assert submitted.total() == watched.ended().total()

    service.submit_running("sleep", seconds=60)
    service.submit_for_later("echo", message=1)
    wait_until(lambda: watched.gauges() == watched.queue(), "the gauges are those of the queue")
    assert watched.gauges() == {"ready": 0, "running": 1, "scheduled": 1}
    service.redis.flushall()
    wait_until(lambda: not any(watched.gauges().values()), "the gauges show that all is gone")
    service.kill_redis()
    wait_until(lambda: watched.api()[UP] == {(): 0}, "a scrape says that Redis is away")
    assert JOBS not in watched.api()
    service.stack.start_redis()
    service.submit_for_later("echo", message=1)
    wait_until(lambda: watched.gauges() == {"ready": 0, "running": 0, "scheduled": 1}, "the gauges are back")
    wait_until(lambda: watched.of(survivor)[UP] == {(): 1}, "the worker says so too")


def end_in_every_way(watched: Watched) -> None:
    """Let jobs complete, fail, be cancelled while they wait and while they run, and miss their start."""
    service = watched.service
    for _ in range(5):
        service.run("echo", message=1)
    service.run("flaky", failures=1)
    service.wait_for(service.submit("flaky", failures=1, final=True), "failed")
    service.call("DELETE", f"/jobs/{service.submit_for_later('echo', message=1)}")
    running = service.submit_running("sleep", seconds=60)
    service.call("DELETE", f"/jobs/{running}")
    service.wait_for(running, "cancelled")
    service.call("POST", "/queues/default/pause")
    late = watched.submit("echo", {"message": 1}, start_within_seconds=1)
    service.wait_for(late, "failed")
    several = [watched.submit("word_count", {"text": "a"}) for _ in range(3)]
    service.call("POST", "/jobs/cancel", json={"ids": several})
    service.call("POST", "/queues/default/resume")


def test_a_worker_whose_metrics_port_is_in_use_ends_with_one_line():
    with serving(api=False) as service, socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        worker = service.start_worker(WORKER_METRICS_PORT=port)
        assert worker.wait_exit() == 2
        (line,) = service.stack.output(worker.name).splitlines()
        assert line.startswith(f"Configuration error: WORKER_METRICS_PORT: can't listen on 127.0.0.1:{port}")
