"""Handlers that misbehave: their records are true, and other jobs do not suffer."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from chaos.handlers.hold_interpreter import HOLDS
from dev.service import Service, serving
from dev.stack import wait_until
from shared.store.cancel_results import CancelResult
from tests.e2e.direct import MODULE, Direct
from tests.e2e.rogue_worker import BAD_ENDS, BAD_RESULTS, MEDDLING

LEASE = 1.0
ABANDONED_AFTER = 5.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Service]:
    with serving(api=False, WORKER_LEASE_SECONDS=str(LEASE)) as service:
        yield service


@pytest.fixture
def jobs(cluster: Service) -> Iterator[Direct]:
    """Jobs of a service without a worker; a test starts its own workers, which do not outlive it."""
    yield Direct(cluster)
    cluster.reset()


@pytest.fixture(scope="module")
def hardened() -> Iterator[Direct]:
    """Jobs of a single worker for many rogue handlers; none of them may end the worker."""
    with serving(api=False, WORKER_LEASE_SECONDS="5") as service:
        [worker] = service.start_workers(1, module=MODULE, WORKER_CONCURRENCY="50")
        yield Direct(service)
        assert worker.alive
        assert worker.lines  # each line is JSON, or this raises


@pytest.fixture(scope="module", autouse=True)
def stubborn(hardened: Direct) -> tuple[str, str]:
    """A job that ignores its cancellation and a job that ignores its timeout, begun before all tests."""
    cancelled, late = hardened.submit("ignore_cancellation"), hardened.submit("ignore_the_timeout")
    hardened.wait_for(cancelled, "running")
    assert hardened.cancel(cancelled) is CancelResult.CANCELLING
    return cancelled, late


def still_works(jobs: Direct) -> None:
    """Check that the worker lives and runs jobs."""
    assert jobs.service.workers[0].alive
    jobs.wait_for(jobs.submit("echo", message="hello"), "completed")


# -- a worker that survives


@pytest.mark.parametrize("where", ["raise_on_the_loop", "raise_in_a_thread"])
@pytest.mark.parametrize("kind", BAD_ENDS)
def test_any_exception_only_fails_its_job(hardened: Direct, where: str, kind: str) -> None:
    record = hardened.ends_with(hardened.submit(where, kind=kind), "handler_error")

    assert len(record.errors) == 1
    still_works(hardened)


@pytest.mark.parametrize("kind", BAD_RESULTS)
def test_a_result_that_can_not_be_kept_fails_its_job(hardened: Direct, kind: str) -> None:
    record = hardened.wait_for(hardened.submit("return_nonsense", kind=kind), "failed")

    assert record.errors[-1].code
    assert record.errors[-1].retryable is False
    still_works(hardened)


def test_a_result_that_breaks_the_contract_fails_its_job(hardened: Direct) -> None:
    record = hardened.wait_for(hardened.submit("break_the_contract"), "failed")

    assert "does not fit the result of its job type" in record.errors[-1].message


@pytest.mark.parametrize("kind", ["BaseException", "CancelledError", "Surrogates"])
def test_a_task_that_is_left_behind_harms_nobody(hardened: Direct, kind: str) -> None:
    neighbour = hardened.submit("sleep", seconds=0.3)
    hardened.wait_for(hardened.submit("leave_a_task_behind", kind=kind), "completed")

    assert hardened.wait_for(neighbour, "completed").attempt == 1


@pytest.mark.parametrize("kind", MEDDLING)
def test_a_handler_that_meddles_with_the_loop_ends_its_own_job_alone(hardened: Direct, kind: str) -> None:
    neighbours = [hardened.submit("sleep", seconds=0.4), hardened.submit("wait_for_a_task", seconds=0.4)]
    for neighbour in neighbours:
        hardened.wait_for(neighbour, "running")

    record = hardened.ends_with(hardened.submit("meddle", kind=kind), "handler_error")

    assert [error.attempt for error in record.errors] == [1, 2]
    for neighbour in neighbours:
        assert hardened.wait_for(neighbour, "completed").attempt == 1
    hardened.ends_with(hardened.submit("crash_a_process", kind="exit code 3"), "process_crashed")
    still_works(hardened)


def test_an_attempt_that_takes_too_long_is_stopped_and_tried_again(hardened: Direct) -> None:
    record = hardened.ends_with(hardened.submit("time_out"), "job_timeout")

    assert [(error.code, error.attempt) for error in record.errors] == [
        ("job_timeout", 1),
        ("job_timeout", 2),
    ]
    assert "0.5 s" in record.errors[0].message
    assert all(error.retryable for error in record.errors)


def test_what_a_handler_returns_after_its_timeout_does_not_count(hardened: Direct) -> None:
    hardened.ends_with(hardened.submit("swallow_the_timeout"), "job_timeout")


def test_what_a_handler_returns_after_its_cancellation_does_not_count(hardened: Direct) -> None:
    job_id = hardened.submit("swallow_cancellation")
    hardened.wait_for(job_id, "running")

    assert hardened.cancel(job_id) is CancelResult.CANCELLING

    assert hardened.wait_for(job_id, "cancelled").result is None


# -- a worker that suffers


def test_a_handler_that_blocks_the_loop_is_not_run_twice(jobs: Direct) -> None:
    jobs.service.start_workers(2, module=MODULE)
    blocker = jobs.submit("block_the_loop", seconds=LEASE * 2.5)
    jobs.wait_for(blocker, "running")
    neighbours = [jobs.submit("echo", message=n) for n in range(10)]

    for neighbour in neighbours:
        assert jobs.wait_for(neighbour, "completed").attempt == 1
    record = jobs.wait_for(blocker, "completed")

    assert (record.attempt, record.errors, record.result) == (1, [], "done")
    lines: list[dict[str, Any]] = [line for worker in jobs.service.workers for line in worker.lines]
    mine = [line["event"] for line in lines if line.get("job_id") == blocker]
    assert mine.count("job started") == 1
    blocked = [line["job_id"] for line in lines if line["event"] == "the event loop is blocked"]
    assert blocked
    assert set(blocked) <= {blocker, None}  # None: a busy machine was late before the job began


@pytest.mark.parametrize("kind", HOLDS)
def test_a_handler_that_holds_the_interpreter_loses_no_lease(jobs: Direct, kind: str) -> None:
    [worker] = jobs.service.start_workers(1, module=MODULE)
    neighbours = [jobs.submit("sleep", seconds=LEASE * 2) for _ in range(3)]
    for neighbour in neighbours:
        jobs.wait_for(neighbour, "running")
    holder = jobs.submit("hold_the_lock", kind=kind, seconds=LEASE * 1.5)
    jobs.wait_for(holder, "running")
    other = jobs.service.start_worker()  # rescues jobs whose leases run out
    other.wait_ready()

    for job_id in (holder, *neighbours):
        record = jobs.wait_for(job_id, "completed")
        assert (record.attempt, record.errors) == (1, [])
    held = jobs.job(holder).result
    assert isinstance(held, float)
    assert held >= LEASE * 1.5
    assert worker.alive


def test_a_handler_that_holds_the_interpreter_from_the_first_claim_on_loses_no_lease(jobs: Direct) -> None:
    """The heartbeat process is ready before the worker claims."""
    holders = [jobs.submit("hold_the_lock_at_once", kind="sum", seconds=LEASE * 1.5) for _ in range(2)]
    jobs.service.start_workers(1, module=MODULE, WORKER_CONCURRENCY="2")

    def ended() -> bool:
        jobs.rescue()
        return all(jobs.job(job_id).done for job_id in holders)

    wait_until(ended, "the holders end")

    for job_id in holders:
        record = jobs.job(job_id)
        assert (record.state, record.attempt, record.errors) == ("completed", 1, [])


def test_a_job_that_kills_its_process_fails_after_its_attempts(jobs: Direct) -> None:
    workers = jobs.service.start_workers(3, module=MODULE)
    neighbours = [jobs.submit("sleep", seconds=1.2) for _ in range(6)]
    for neighbour in neighbours:
        jobs.wait_for(neighbour, "running")

    killer = jobs.submit("kill_the_process")

    record = jobs.ends_with(killer, "worker_lost")
    assert [(error.code, error.attempt) for error in record.errors] == [
        ("worker_lost", 1),
        ("worker_lost", 2),
    ]
    assert [worker.alive for worker in workers].count(True) == 1
    for neighbour in neighbours:
        jobs.wait_for(neighbour, "completed")


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
def test_a_task_that_is_left_behind_can_not_end_the_process(jobs: Direct, kind: str) -> None:
    [worker] = jobs.service.start_workers(1, module=MODULE)
    neighbour = jobs.submit("sleep", seconds=0.3)
    jobs.wait_for(jobs.submit("leave_a_task_behind", kind=kind), "completed")

    assert jobs.wait_for(neighbour, "completed").attempt == 1
    assert worker.alive


def test_an_abandoned_thread_does_not_hold_up_the_exit(jobs: Direct) -> None:
    [worker] = jobs.service.start_workers(1, module=MODULE)
    jobs.ends_with(jobs.submit("outlive_the_timeout"), "job_timeout")

    worker.send(signal.SIGTERM)

    assert worker.wait_exit(within=30) == 0


def test_a_handler_that_ignores_the_shutdown_does_not_hold_up_the_exit(jobs: Direct) -> None:
    [worker] = jobs.service.start_workers(1, module=MODULE, WORKER_GRACE_SECONDS="0.1")
    job_id = jobs.submit("ignore_cancellation")
    jobs.wait_for(job_id, "running")

    worker.send(signal.SIGTERM)

    assert worker.wait_exit(within=30) == 0
    record = jobs.job(job_id)
    assert (record.state, record.attempt, record.errors) == ("pending", 0, [])


def test_a_handler_that_ignores_its_end_is_abandoned(hardened: Direct, stubborn: tuple[str, str]) -> None:
    cancelled, late = stubborn
    records = [hardened.wait_for(cancelled, "cancelled"), hardened.ends_with(late, "job_timeout")]

    for record in records:
        assert record.started_at
        assert record.finished_at
        assert (
            0 <= (record.finished_at - record.started_at).total_seconds() - ABANDONED_AFTER < 5
        )  # others hold the loop
    assert len(hardened.service.workers[0].log("the handler does not end; it is abandoned")) == 2
    still_works(hardened)
