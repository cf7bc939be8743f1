"""Model hosts with real processes: a model is loaded once, and a bad job hurts no other."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.service import Service, WorkerProcess, serving
from dev.stack import wait_until
from tests.unit.worker.pools import lives

TYPES = {"JOB_TYPES": "job_types,tests.model_types", "WORKER_QUEUES": "doubled,shouted,default"}
SIZE = 64


class Models:
    """The files by which a test steers models, and sees their work."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def order(self, word: str, text: str = "", *, of: str = "doubled") -> Path:
        """Write a file that models obey until it is removed."""
        path = self._folder / f"{word}-{of}"
        path.write_text(text)
        return path

    def setups(self, of: str = "doubled") -> list[list[str]]:
        """Process, device, threads, visible GPUs and priority of each setup."""
        return self._lines("setups", of)

    def batches(self, of: str = "doubled") -> list[tuple[int, int]]:
        """Process and size of each batch."""
        return [(int(pid), int(size)) for pid, size in self._lines("batches", of)]

    def _lines(self, word: str, of: str) -> list[list[str]]:
        path = self._folder / f"{word}-{of}"
        return [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """An API and Redis; the test starts the workers."""
    words = {"MODEL_FOLDER": str(tmp_path), "WORKER_CHILD_ENVIRONMENT": "MODEL_FOLDER"}
    with serving(WORKER_CONCURRENCY="128", WORKER_LEASE_SECONDS="5", **TYPES, **words) as service:
        yield service


def start(service: Service, models: int = 2, **environment: str) -> WorkerProcess:
    """A worker whose models are loaded."""
    worker = service.start_worker(**environment)
    wait_until(lambda: len(worker.log("model loaded")) == models, "the models are loaded")
    return worker


def submit(service: Service, count: int, job_type: str = "doubled", **acts: str) -> list[str]:
    """Submit jobs; `act_7="raise"` is the act of the seventh."""
    jobs = [
        {"type": "doubled", "params": {"number": n, "act": acts.get(f"act_{n}", "none")}}
        for n in range(count)
    ]
    return [job["job_id"] for job in service.call("POST", "/jobs/batch", json={"jobs": jobs}).json()["items"]]


def ended(service: Service, ids: list[str]) -> list[dict[str, Any]]:
    """The records of the jobs once all are done."""
    jobs = [service.call("GET", f"/jobs/{job_id}", params={"wait": 60}).json() for job_id in ids]
    assert all(job["done"] for job in jobs)
    return jobs


def completed(jobs: list[dict[str, Any]]) -> int:
    """The number of jobs that completed with the right result, at their first attempt."""
    right = [job["attempt"] == 1 and job["result"] == 2 * job["params"]["number"] for job in jobs]
    return sum(right)


def states(service: Service) -> dict[str, str]:
    """The state of the models of the only worker by their type; empty before its first heartbeat."""
    workers = service.info()["workers"]
    return {model["type"]: model["state"] for worker in workers for model in worker["models"]}


def test_a_model_is_loaded_once_and_performs_batches(service: Service, models: Models) -> None:
    start(service)
    assert states(service) == {"doubled": "READY", "shouted": "READY"}
    assert service.call("GET", "/readyz").json()["checks"]["models"] == "pass"
    assert completed(ended(service, submit(service, 200))) == 200
    assert service.run("shouted", text="hey")["result"] == "HEY"
    [[pid, device, threads, visible, priority]] = models.setups()
    assert (device, threads, visible, priority) == ("cpu", str(os.cpu_count()), "", str(os.nice(0)))
    assert {batch[0] for batch in models.batches()} == {int(pid)}
    assert max(size for _, size in models.batches()) == SIZE


@pytest.mark.parametrize(("act", "code"), [("raise", "handler_error"), ("abort", "process_crashed")])
def test_a_bad_job_of_a_batch_hurts_no_other(service: Service, models: Models, act: str, code: str) -> None:
    start(service)
    jobs = ended(service, submit(service, SIZE, act_7=act))
    assert completed(jobs) == SIZE - 1
    assert (jobs[7]["state"], jobs[7]["attempt"]) == ("failed", 2)
    assert {error["code"] for error in jobs[7]["errors"]} == {code}


def test_a_job_that_takes_too_long_hurts_no_other_of_its_batch(service: Service, models: Models) -> None:
    start(service, models=1, WORKER_QUEUES="hasty")
    jobs = ended(service, submit(service, 8, "hasty", act_7="hang"))
    assert completed(jobs) == 7
    assert {error["code"] for error in jobs[7]["errors"]} == {"job_timeout"}


def test_errors_and_reports_are_those_of_their_job(service: Service, models: Models) -> None:
    start(service)
    jobs = ended(service, submit(service, 4, act_1="refuse", act_2="unfit", act_3="report"))
    assert [job["state"] for job in jobs] == ["completed", "failed", "failed", "completed"]
    assert [jobs[1]["errors"][0]["code"], jobs[2]["errors"][0]["code"]] == ["not_liked", "invalid_result"]
    logs = [service.call("GET", f"/jobs/{job['job_id']}/logs").json()["items"] for job in jobs]
    assert [[line["message"] for line in lines] for lines in logs] == [["to all"]] * 3 + [
        ["to all", "to one"]
    ]
    assert jobs[3]["progress"] == {"fraction": 0.5, "message": "half"}


def test_a_wrong_number_of_results_is_an_error_of_the_handler(service: Service, models: Models) -> None:
    start(service)
    jobs = ended(service, submit(service, 3, act_1="crowd"))
    assert {job["errors"][0]["code"] for job in jobs} == {"invalid_result"}
    assert "returned 2 results for a batch of 3 jobs" in jobs[0]["errors"][0]["message"]


def test_a_killed_host_costs_no_attempt(service: Service, models: Models) -> None:
    start(service)
    hold = models.order("hold")
    ids = submit(service, SIZE)
    wait_until(models.batches, "a batch runs")
    os.kill(models.batches()[0][0], signal.SIGKILL)
    hold.unlink()
    assert completed(ended(service, ids)) == SIZE
    assert len(models.setups()) == 2


def test_a_cancelled_job_leaves_its_batch_alone(service: Service, models: Models) -> None:
    start(service)
    hold = models.order("hold")
    ids = submit(service, 32)
    wait_until(lambda: (models.batches() or [(0, 0)])[0][1] == 32, "the batch runs")
    for job_id in ids[:5]:
        service.call("DELETE", f"/jobs/{job_id}")
    assert all(job["state"] == "cancelled" for job in ended(service, ids[:5]))
    hold.unlink()
    assert completed(ended(service, ids[5:])) == 27
    assert len(models.batches()) == len(models.setups()) == 1


def test_a_batch_without_a_job_that_is_wanted_is_killed(service: Service, models: Models) -> None:
    start(service)
    hold = models.order("hold")
    ids = submit(service, 8)
    wait_until(models.batches, "a batch runs")
    pid = models.batches()[0][0]
    for job_id in ids:
        service.call("DELETE", f"/jobs/{job_id}")
    assert all(job["state"] == "cancelled" for job in ended(service, ids))
    wait_until(lambda: not lives(pid), "the process ends")
    hold.unlink()
    assert completed(ended(service, submit(service, 8))) == 8


@pytest.mark.parametrize("spoiled", ["fail", "hang", "eat"])
def test_a_setup_that_fails_charges_nobody_and_holds_up_no_other(
    service: Service, models: Models, spoiled: str
) -> None:
    order = models.order(spoiled)
    start(service, models=1, WORKER_PROCESS_MAX_MEMORY_BYTES=str(1 << 30))
    ids = submit(service, 8)
    assert service.run("shouted", text="hey")["result"] == "HEY"
    assert service.run("echo", message=1)["state"] == "completed"
    wait_until(lambda: states(service)["doubled"] == "SETUP_FAILED", "the failure is shown")
    warning = "warn: models can't be loaded: doubled; see the errors in /server/info"
    assert service.call("GET", "/readyz").json()["checks"]["models"] == warning
    assert {service.job(job_id)["state"] for job_id in ids} == {"pending"}
    order.unlink()
    assert completed(ended(service, ids)) == 8
    assert states(service)["doubled"] == "READY"


def test_a_loading_model_is_waited_for(service: Service, models: Models) -> None:
    order = models.order("hang")
    start(service, models=1)
    wait_until(lambda: states(service) == {"doubled": "STARTING", "shouted": "READY"}, "the states are shown")
    assert service.call("GET", "/readyz").json()["checks"]["models"] == "warn: models load: doubled"
    order.unlink()
    assert completed(ended(service, submit(service, 3))) == 3


def test_a_model_above_the_limit_of_memory_is_loaded_once(service: Service, models: Models) -> None:
    limit = 64 << 20
    models.order("size", str(limit * 3 // 2))
    start(service, WORKER_PROCESS_MAX_RSS_BYTES=str(limit))
    for _ in range(3):
        assert completed(ended(service, submit(service, 10))) == 10
    assert len(models.setups()) == 1


def test_a_worker_that_is_stopped_lets_its_batch_finish(service: Service, models: Models) -> None:
    worker = start(service)
    hold = models.order("hold")
    ids = submit(service, SIZE)
    wait_until(lambda: sum(size for _, size in models.batches()) > 0, "a batch runs")
    worker.send(signal.SIGTERM)
    wait_until(lambda: worker.log("worker stops"), "the worker drains")
    hold.unlink()
    assert worker.wait_exit() == 0
    start(service)
    assert completed(ended(service, ids)) == SIZE


def test_several_hosts_and_workers_share_the_jobs(service: Service, models: Models) -> None:
    hold = models.order("hold")
    for _ in range(2):
        start(service, models=4, WORKER_DEVICES="cpu,cpu", WORKER_MODEL_THREADS="1")
    ids = submit(service, 400)
    wait_until(lambda: len({pid for pid, _ in models.batches()}) == 4, "each host has a batch")
    hold.unlink()
    assert completed(ended(service, ids)) == 400
    assert {setup[2] for setup in models.setups()} == {"1"}


def test_a_host_sees_its_own_device(service: Service, models: Models) -> None:
    start(service, WORKER_DEVICES="3")
    assert models.setups()[0][1:4] == ["cuda", str(os.cpu_count()), "3"]


def test_a_killed_worker_takes_its_hosts_along(service: Service, models: Models) -> None:
    worker = start(service)
    models.order("hold")
    ids = submit(service, 8)
    wait_until(models.batches, "a batch runs")
    worker.kill()
    wait_until(lambda: not any(lives(int(setup[0])) for setup in models.setups()), "the hosts end")
    (models.order("hold")).unlink()
    start(service)
    jobs = ended(service, ids)
    assert {job["state"] for job in jobs} == {"completed"}
