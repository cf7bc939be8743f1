"""Workers that are killed, stopped or ended by a signal: no job is lost or shown in a false state."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.service import Record, Service, WorkerProcess, serving
from dev.stack import wait_until
from tests.e2e.gated_worker import GATE
from tests.unit.worker.pools import children, lives

LEASE = 2.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Service]:
    with serving(WORKER_LEASE_SECONDS=str(LEASE)) as service:
        yield service


@pytest.fixture
def service(cluster: Service) -> Iterator[Service]:
    """An API and Redis; a test starts its own workers, which do not outlive it."""
    yield cluster
    cluster.reset()


def test_the_jobs_of_a_killed_worker_run_again_and_others_do_not_notice(service: Service) -> None:
    service.start_workers(2, WORKER_CONCURRENCY="2")
    jobs = [service.submit_running("sleep", seconds=1.2) for _ in range(4)]
    victim = service.holder(jobs[0])
    lost = [job_id for job_id in jobs if service.holder(job_id) is victim]

    start = time.monotonic()
    victim.kill()
    wait_until(lambda: all(service.job(job_id)["attempt"] == 2 for job_id in lost), "they run again")

    assert time.monotonic() - start < 2 * LEASE + 1  # of which chaos holds the exact figure
    assert len(lost) == 2
    for job_id in jobs:
        record = service.wait_for(job_id, "completed")
        errors = [(error["code"], error["attempt"], error["retryable"]) for error in record["errors"]]
        assert errors == ([("worker_lost", 1, True)] if job_id in lost else [])
        assert record["attempt"] == 1 + len(errors)


def test_a_worker_that_is_told_to_leave_finishes_its_job(service: Service) -> None:
    [worker] = service.start_workers(1, WORKER_GRACE_SECONDS="600")
    job_id = service.submit_running("sleep", seconds=0.8)

    worker.send(signal.SIGTERM)

    assert worker.wait_exit() == 0
    assert completed_first(service.job(job_id))


def test_a_worker_that_leaves_takes_no_new_job(service: Service) -> None:
    [worker] = service.start_workers(1, WORKER_GRACE_SECONDS="600")
    service.submit_running("sleep", seconds=0.8)
    worker.send(signal.SIGTERM)
    wait_until(lambda: worker.log("worker stops"), "the worker has heard it")

    late = service.submit("echo", message="too late")

    assert worker.wait_exit() == 0
    assert service.job(late)["state"] == "pending"
    assert service.info()["workers"] == []


def test_a_long_job_is_handed_back_uncharged_when_the_grace_is_over(service: Service) -> None:
    [worker] = service.start_workers(1, WORKER_GRACE_SECONDS="1")
    job_id = service.submit_running("sleep", seconds=600)

    worker.send(signal.SIGTERM)

    assert worker.wait_exit() == 0
    assert is_untouched(service.job(job_id))
    service.start_worker()
    record = service.wait_for(job_id, "running")
    assert (record["attempt"], record["errors"]) == (1, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_second_signal_hands_back_at_once(service: Service, number: signal.Signals) -> None:
    [worker] = service.start_workers(1, WORKER_GRACE_SECONDS="600")
    job_id = service.submit_running("sleep", seconds=600)

    worker.send(number)
    wait_until(lambda: worker.log("worker stops"), "the worker has heard it")
    assert worker.alive
    worker.send(number)

    assert worker.wait_exit() == 0
    assert is_untouched(service.job(job_id))


def test_a_rolling_restart_loses_and_charges_nothing(service: Service) -> None:
    old = service.start_workers(2, WORKER_CONCURRENCY="20", WORKER_GRACE_SECONDS="0.5")
    short = [service.submit("sleep", seconds=0.3) for _ in range(60)]
    long = [service.submit("sleep", seconds=1.2) for _ in range(20)]

    for worker in old:
        new = service.start_worker(WORKER_CONCURRENCY="20")
        worker.send(signal.SIGTERM)
        assert worker.wait_exit() == 0
        new.wait_ready()

    for job_id in short + long:
        assert completed_first(service.wait_for(job_id, "completed"))


def test_the_late_outcome_of_a_frozen_worker_is_refused(service: Service) -> None:
    service.start_workers(2, module="tests.e2e.gated_worker", WORKER_LEASE_SECONDS="1")
    job_id = service.submit_running("sleep", seconds=0)
    frozen = service.holder(job_id)
    frozen.send(signal.SIGSTOP)
    wait_until(lambda: service.job(job_id)["attempt"] == 2, "the other worker runs the job")
    (service.stack.folder / GATE).touch()

    record = service.wait_for(job_id, "completed")
    assert (record["attempt"], [e["code"] for e in record["errors"]]) == (2, ["worker_lost"])

    frozen.send(signal.SIGCONT)
    wait_until(lambda: refused(frozen), "the outcome is refused")
    assert service.job(job_id) == record
    assert frozen.alive


def test_a_heartbeat_ends_with_its_worker(service: Service) -> None:
    [worker] = service.start_workers(1)
    wait_until(lambda: heartbeats(worker), "its heartbeat process runs")
    [heartbeat] = heartbeats(worker)
    assert not worker.log("the heartbeat process ended; it is started again")

    worker.kill()

    wait_until(lambda: not lives(heartbeat), "the heartbeat process ends")


def test_a_thawed_worker_goes_on_working(service: Service) -> None:
    [worker] = service.start_workers(1, WORKER_LEASE_SECONDS="1")
    worker.send(signal.SIGSTOP)
    wait_until(lambda: service.info()["workers"] == [], "its heartbeat is missed")
    job_id = service.submit("echo", message="anybody?")

    worker.send(signal.SIGCONT)

    assert completed_first(service.wait_for(job_id, "completed"))
    wait_until(lambda: len(service.info()["workers"]) == 1, "its heartbeat is back")


def heartbeats(worker: WorkerProcess) -> list[int]:
    """Pids of the worker's heartbeat processes: one, unless that has just died."""
    module = b"worker.heartbeat.process"
    found = children(worker.process.pid)
    return [pid for pid in found if module in Path(f"/proc/{pid}/cmdline").read_bytes()]


def refused(worker: WorkerProcess) -> list[Record]:
    """Log lines of a refused outcome, or of a lease that the heartbeat found lost before the job ended."""
    return worker.log("outcome refused: the lease was lost") + worker.log(
        "lease lost; the attempt is discarded"
    )


def is_untouched(record: Record) -> bool:
    return bool(
        record["state"] == "pending"
        and record["attempt"] == 0
        and record["errors"] == []
        and record["started_at"] is None
    )


def completed_first(record: Record) -> bool:
    return (record["state"], record["attempt"], record["errors"]) == ("completed", 1, [])
