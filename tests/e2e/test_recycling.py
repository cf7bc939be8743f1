"""A worker that ends by itself after WORKER_MAX_JOBS, or above WORKER_MAX_RSS_BYTES, and is replaced."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.service import Service, json_lines, serving
from dev.stack import wait_until

JOBS = 100
LIMIT = 35  # so that two workers end before the last job, and a third one gets some
SMALL = {"WORKER_CONCURRENCY": "2", "WORKER_WEBHOOKS": "1", "WORKER_PROCESSES": "1"}


@pytest.fixture(scope="module")
def bare() -> Iterator[Service]:
    """An API and Redis, shared by the tests of this file, which start the workers."""
    with serving(**SMALL) as bare:
        yield bare


def test_no_job_is_lost_across_the_lives_of_a_worker(bare: Service, tmp_path: Path):
    """The supervisor is that of `make dev`."""
    command = [sys.executable, "-m", "dev.supervisor", str(tmp_path)]
    supervisor = bare.stack.spawn("supervised", command, {"WORKER_MAX_JOBS": str(LIMIT)})
    try:
        batch = {"jobs": [{"type": "echo", "params": {"message": number}} for number in range(JOBS)]}
        ids = [job["job_id"] for job in bare.call("POST", "/jobs/batch", json=batch).json()["items"]]
        records = [bare.wait_for(job_id, "completed") for job_id in ids]
        lines = json_lines(bare.stack.output("supervised"))
    finally:
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(60) == 0
    assert {record["attempt"] for record in records} == {1}
    assert [record["result"]["message"] for record in records] == list(range(JOBS))
    stops = [line for line in lines if line["event"] == "worker stops, to be replaced"]
    assert len(stops) >= 2
    assert all("WORKER_MAX_JOBS" in stop["reason"] and "job_id" not in stop for stop in stops)
    assert len({line["worker_id"] for line in lines if line["event"] == "worker started"}) >= 3


def test_the_supervisor_ends_its_worker(bare: Service, tmp_path: Path):
    supervisor = bare.stack.spawn("ended", [sys.executable, "-m", "dev.supervisor", str(tmp_path)])
    wait_until(lambda: "worker started" in bare.stack.output("ended"), "the worker has started")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(60) == 0
    assert "worker ended" in bare.stack.output("ended")


def test_a_change_of_code_replaces_the_worker(bare: Service, tmp_path: Path):
    supervisor = bare.stack.spawn("changed", [sys.executable, "-m", "dev.supervisor", str(tmp_path)])
    try:
        wait_until(lambda: bare.stack.output("changed").count("worker started") == 1, "a worker has started")
        (tmp_path / "handler.py").write_text("x = 1\n")
        wait_until(lambda: bare.stack.output("changed").count("worker started") == 2, "a new one has started")
    finally:
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(60) == 0


def test_a_worker_above_its_memory_finishes_its_jobs_and_ends(bare: Service):
    worker = bare.start_worker(module="tests.e2e.leaking_worker", WORKER_MAX_RSS_BYTES="150000000")
    running = bare.submit_running("sleep", seconds=2)
    bare.run("echo", message="kept")
    assert worker.wait_exit() == 0
    assert bare.wait_for(running, "completed")["attempt"] == 1
    (stop,) = worker.log("worker stops, to be replaced")
    assert "WORKER_MAX_RSS_BYTES" in stop["reason"]


def test_a_limit_that_a_new_worker_exceeds_ends_it_with_one_line(bare: Service):
    worker = bare.start_worker(WORKER_MAX_RSS_BYTES="1000000")
    assert worker.wait_exit() == 2
    assert "WORKER_MAX_RSS_BYTES: a worker has" in bare.stack.output(worker.name)
