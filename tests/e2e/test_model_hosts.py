"""Batches in model hosts, with real processes: a bad job hurts no other, whatever it does."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.service import Service
from dev.stack import wait_until
from tests.e2e.model_worker import SIZE, Models, completed, ended, start, submit
from tests.unit.worker.pools import lives


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def server(server_without_workers: Service, folder: Path) -> Iterator[Service]:
    """A service with one worker for all tests; whatever happens to its hosts, they are started again."""
    server_without_workers.stack.environment["MODEL_FOLDER"] = str(folder)
    worker = start(server_without_workers, models=2, WORKER_QUEUES="doubled,hasty")
    yield server_without_workers
    assert worker.alive


@pytest.fixture
def models(folder: Path) -> Models:
    models = Models(folder)
    models.forget_batches()
    return models


@pytest.mark.parametrize(("act", "code"), [("raise", "handler_error"), ("abort", "process_crashed")])
def test_a_bad_job_of_a_batch_hurts_no_other(server: Service, models: Models, act: str, code: str) -> None:
    jobs = ended(server, submit(server, 8, act_7=act))
    assert completed(jobs) == 7
    assert (jobs[7]["state"], jobs[7]["attempt"]) == ("failed", 2)
    assert {error["code"] for error in jobs[7]["errors"]} == {code}


def test_a_job_that_takes_too_long_hurts_no_other_of_its_batch(server: Service, models: Models) -> None:
    jobs = ended(server, submit(server, 8, "hasty", act_7="hang"))
    assert completed(jobs) == 7
    assert {error["code"] for error in jobs[7]["errors"]} == {"job_timeout"}


def test_errors_and_reports_are_those_of_their_job(server: Service, models: Models) -> None:
    jobs = ended(server, submit(server, 4, act_1="refuse", act_2="unfit", act_3="report"))
    assert [job["state"] for job in jobs] == ["completed", "failed", "failed", "completed"]
    assert [jobs[1]["errors"][0]["code"], jobs[2]["errors"][0]["code"]] == ["not_liked", "invalid_result"]
    logs = [server.call("GET", f"/jobs/{job['job_id']}/logs").json()["items"] for job in jobs]
    assert [[line["message"] for line in lines] for lines in logs] == [["to all"]] * 3 + [
        ["to all", "to one"]
    ]
    assert jobs[3]["progress"] == {"fraction": 0.5, "message": "half"}
    output = [server.call("GET", f"/jobs/{job['job_id']}/output").json()["items"] for job in jobs]
    assert output == [[], [], [], [{"seq": 1, "chunk": "a chunk"}]]


def test_a_wrong_number_of_results_is_an_error_of_the_handler(server: Service, models: Models) -> None:
    jobs = ended(server, submit(server, 3, act_1="crowd"))
    assert {job["errors"][0]["code"] for job in jobs} == {"invalid_result"}
    assert "returned 2 results for a batch of 3 jobs" in jobs[0]["errors"][0]["message"]


def test_a_killed_host_costs_no_attempt(server: Service, models: Models) -> None:
    hold = models.order("hold")
    ids = submit(server, SIZE)
    wait_until(models.batches, "a batch runs")
    os.kill(models.batches()[0][0], signal.SIGKILL)
    hold.unlink()
    assert completed(ended(server, ids)) == SIZE
    assert len({pid for pid, _ in models.batches()}) == 2


def test_a_cancelled_job_leaves_its_batch_alone(server: Service, models: Models) -> None:
    hold = models.order("hold")
    ids = submit(server, 32)
    wait_until(lambda: (models.batches() or [(0, 0)])[0][1] == 32, "the batch runs")
    for job_id in ids[:5]:
        server.call("DELETE", f"/jobs/{job_id}")
    assert all(job["state"] == "cancelled" for job in ended(server, ids[:5]))
    hold.unlink()
    assert completed(ended(server, ids[5:])) == 27
    assert len(models.batches()) == 1


def test_a_batch_without_a_job_that_is_wanted_is_killed(server: Service, models: Models) -> None:
    hold = models.order("hold")
    ids = submit(server, 8)
    wait_until(models.batches, "a batch runs")
    pid = models.batches()[0][0]
    for job_id in ids:
        server.call("DELETE", f"/jobs/{job_id}")
    assert all(job["state"] == "cancelled" for job in ended(server, ids))
    wait_until(lambda: not lives(pid), "the process ends")
    hold.unlink()
    assert completed(ended(server, submit(server, 8))) == 8
