"""Child processes of a worker: each ends with its job and with the worker, however these end."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.service import Service, serving
from dev.stack import wait_until
from shared.store.cancel_results import CancelResult
from tests.e2e.direct import MODULE, Direct
from tests.unit.worker.in_child import CRASHES
from tests.unit.worker.pools import children, lives, process_in


@pytest.fixture(scope="module")
def cluster() -> Iterator[Service]:
    with serving(api=False, WORKER_LEASE_SECONDS="5", WORKER_PROCESSES="2") as service:
        yield service


@pytest.fixture(scope="module")
def jobs(cluster: Service) -> Direct:
    """A worker with two processes, for tests that do not end it."""
    cluster.start_workers(1, module=MODULE)
    return Direct(cluster)


def begin(jobs: Direct, job_type: str, started: Path) -> tuple[str, int]:
    """The id of a job that computes, and the process that it keeps busy."""
    job_id = jobs.submit(job_type, started=str(started))
    wait_until(started.exists, "the function runs")
    return job_id, process_in(started)


def dies(process: int) -> None:
    wait_until(lambda: not lives(process), "the process ends")


def test_no_process_of_the_worker_has_a_secret_in_its_environment(cluster: Service, jobs: Direct) -> None:
    """The heartbeat process included: its socket brings it the address of Redis."""
    worker = cluster.workers[0].process.pid
    names = (b"worker.processes.child", b"worker.heartbeat.process")

    def started() -> list[Path]:
        """Children that run their own program; before its start they show the worker's environment."""
        found = [Path(f"/proc/{process}") for process in children(worker)]
        return [path for path in found if any(name in (path / "cmdline").read_bytes() for name in names)]

    wait_until(lambda: len(started()) == 3, "all processes run, and the heartbeat")
    assert b"REDIS_URL=" in Path(f"/proc/{worker}/environ").read_bytes()
    for path in started():
        environment = (path / "environ").read_bytes()
        assert b"PATH=" in environment
        assert b"redis://" not in environment
        assert b"WORKER_" not in environment


@pytest.mark.parametrize("job_type", ["compute", "compute_for_a_thread"])
def test_a_cancelled_job_frees_its_cpu(jobs: Direct, job_type: str, tmp_path: Path) -> None:
    job_id, process = begin(jobs, job_type, tmp_path / "started")

    assert jobs.cancel(job_id) is CancelResult.CANCELLING

    dies(process)
    jobs.wait_for(job_id, "cancelled")


def test_a_timeout_kills(jobs: Direct, tmp_path: Path) -> None:
    job_id, process = begin(jobs, "compute_too_long", tmp_path / "started")

    jobs.ends_with(job_id, "job_timeout")

    dies(process)


@pytest.mark.parametrize("kind", CRASHES)
def test_a_crash_fails_its_job_alone(jobs: Direct, kind: str, tmp_path: Path) -> None:
    neighbours = [jobs.submit("sleep", seconds=0.3), *begin(jobs, "compute", tmp_path / "started")[:1]]

    record = jobs.ends_with(jobs.submit("crash_a_process", kind=kind), "process_crashed")

    assert kind in record.errors[0].message
    jobs.wait_for(neighbours[0], "completed")
    assert jobs.job(neighbours[1]).attempt == 1
    jobs.cancel(neighbours[1])
    jobs.wait_for(neighbours[1], "cancelled")
    assert jobs.service.workers[0].alive


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_takes_its_processes_along(cluster: Service, number: signal.Signals, tmp_path: Path) -> None:
    cluster.reset()
    jobs = Direct(cluster)
    [worker] = cluster.start_workers(1, module=MODULE, WORKER_GRACE_SECONDS="0.1")
    job_id, process = begin(jobs, "compute", tmp_path / "started")
    wait_until(lambda: len(children(worker.process.pid)) == 3, "all processes run, and the heartbeat")
    processes = children(worker.process.pid)
    assert process in processes

    worker.send(number)

    wait_until(lambda: not any(map(lives, processes)), "the processes end")
    if number is signal.SIGTERM:
        assert worker.wait_exit() == 0
        record = jobs.job(job_id)
        assert (record.state, record.attempt, record.errors) == ("pending", 0, [])
