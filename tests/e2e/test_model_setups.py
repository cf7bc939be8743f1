"""Model hosts and their workers, with real processes: loaded once, and a failed setup charges nobody."""

import os
import signal

import pytest

from dev.service import Service
from dev.stack import wait_until
from tests.e2e.model_worker import ALL_QUEUES, SIZE, Models, completed, ended, start, states, submit
from tests.model_types.doubled.contract import PATIENT_SIZE
from tests.unit.worker.pools import lives

SMALL_BATCHES = "batches stay small: set WORKER_CONCURRENCY to twice the batch size or more"


def test_a_model_is_loaded_once_and_performs_batches(server: Service, models: Models) -> None:
    worker = start(server, models=2, WORKER_QUEUES=ALL_QUEUES)
    assert worker.log(SMALL_BATCHES) == []
    assert states(server) == {"doubled": "READY", "shouted": "READY"}
    assert server.call("GET", "/readyz").json()["checks"]["models"] == "pass"
    assert completed(ended(server, submit(server, 200))) == 200
    assert server.run("shouted", text="hey")["result"] == "HEY"
    [[pid, device, threads, visible, priority]] = models.setups()
    assert (device, threads, visible, priority) == ("cpu", str(os.cpu_count()), "", str(os.nice(0)))
    assert {batch[0] for batch in models.batches()} == {int(pid)}
    assert max(size for _, size in models.batches()) == SIZE


@pytest.mark.parametrize("spoiled", ["fail", "hang", "eat"])
def test_a_setup_that_fails_charges_nobody_and_holds_up_no_other(
    server: Service, models: Models, spoiled: str
) -> None:
    order = models.order(spoiled)
    start(server, WORKER_QUEUES=ALL_QUEUES, WORKER_PROCESS_MAX_MEMORY_BYTES=str(1 << 30))
    ids = submit(server, 8)
    assert server.run("shouted", text="hey")["result"] == "HEY"
    assert server.run("echo", message=1)["state"] == "completed"
    wait_until(lambda: states(server)["doubled"] == "SETUP_FAILED", "the failure is shown")
    warning = "warn: models can't be loaded: doubled; see the errors in /server/info"
    assert server.call("GET", "/readyz").json()["checks"]["models"] == warning
    assert {server.job(job_id)["state"] for job_id in ids} == {"pending"}
    order.unlink()
    assert completed(ended(server, ids)) == 8
    assert states(server)["doubled"] == "READY"


def test_a_loading_model_is_waited_for(server: Service, models: Models) -> None:
    order = models.order("hang")
    start(server, WORKER_QUEUES=ALL_QUEUES)
    wait_until(lambda: states(server) == {"doubled": "STARTING", "shouted": "READY"}, "the states are shown")
    assert server.call("GET", "/readyz").json()["checks"]["models"] == "warn: models load: doubled"
    order.unlink()
    assert completed(ended(server, submit(server, 3))) == 3


def test_a_model_above_the_limit_of_memory_is_loaded_once(server: Service, models: Models) -> None:
    limit = 64 << 20
    models.order("size", str(limit * 3 // 2))
    start(server, WORKER_PROCESS_MAX_RSS_BYTES=str(limit))
    for _ in range(3):
        assert completed(ended(server, submit(server, 10))) == 10
    assert len(models.setups()) == 1


def test_a_host_that_grows_beyond_the_limit_is_replaced_and_charges_nobody(
    server: Service, models: Models
) -> None:
    start(server, WORKER_PROCESS_MAX_RSS_BYTES=str(64 << 20))
    assert completed(ended(server, submit(server, 20, act_7="grow"))) == 20
    wait_until(lambda: len(models.setups()) == 2, "the model is loaded again")
    assert completed(ended(server, submit(server, 20))) == 20
    assert len(models.setups()) == 2
    (first, _), *_, (last, _) = models.batches()
    assert [int(setup[0]) for setup in models.setups()] == [first, last]


def test_a_small_concurrency_is_said_at_start(server: Service, models: Models) -> None:
    small = start(server, WORKER_CONCURRENCY="127")
    assert [(said["type"], said["batch_size"]) for said in small.log(SMALL_BATCHES)] == [("doubled", SIZE)]


def test_a_batch_waits_for_more_jobs_only_if_it_is_told_to(server: Service, models: Models) -> None:
    start(server, WORKER_QUEUES="patient")
    ids = submit(server, 1, "patient") + submit(server, 1, "patient")
    wait_until(lambda: [server.job(job_id)["state"] for job_id in ids] == ["running"] * 2, "both are claimed")
    assert models.batches() == []
    ids += submit(server, 1, "patient")
    assert completed(ended(server, ids)) == PATIENT_SIZE
    assert [size for _, size in models.batches()] == [PATIENT_SIZE]


def test_a_worker_that_is_stopped_lets_its_batch_finish(server: Service, models: Models) -> None:
    worker = start(server)
    hold = models.order("hold")
    ids = submit(server, SIZE)
    wait_until(lambda: sum(size for _, size in models.batches()) > 0, "a batch runs")
    worker.send(signal.SIGTERM)
    wait_until(lambda: worker.log("worker stops"), "the worker drains")
    hold.unlink()
    assert worker.wait_exit() == 0
    start(server)
    assert completed(ended(server, ids)) == SIZE


def test_several_hosts_and_workers_share_the_jobs(server: Service, models: Models) -> None:
    hold = models.order("hold")
    for _ in range(2):
        start(server, models=2, WORKER_DEVICES="cpu,cpu", WORKER_MODEL_THREADS="1")
    ids = submit(server, 400)
    wait_until(lambda: len({pid for pid, _ in models.batches()}) == 4, "each host has a batch")
    hold.unlink()
    assert completed(ended(server, ids)) == 400
    assert {setup[2] for setup in models.setups()} == {"1"}


def test_a_host_sees_its_own_device(server: Service, models: Models) -> None:
    start(server, WORKER_DEVICES="3")
    assert models.setups()[0][1:4] == ["cuda", str(os.cpu_count()), "3"]


def test_a_killed_worker_takes_its_hosts_along(server: Service, models: Models) -> None:
    worker = start(server)
    models.order("hold")
    ids = submit(server, 8)
    wait_until(models.batches, "a batch runs")
    worker.kill()
    wait_until(lambda: not any(lives(int(setup[0])) for setup in models.setups()), "the hosts end")
    (models.order("hold")).unlink()
    start(server)
    jobs = ended(server, ids)
    assert {job["state"] for job in jobs} == {"completed"}
