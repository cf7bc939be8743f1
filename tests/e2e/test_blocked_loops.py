"""Claims that a worker holds while a handler blocks its event loop, or when the worker is killed."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from dev.service import Service, serving
from dev.stack import wait_until
from shared.store import redis_keys
from shared.store.submission import NewJob
from tests.e2e.direct import MODULE, Direct
from tests.e2e.rogue_worker import JOB_TYPES

SLOTS = 4
BLOCKED_SECONDS = 5.0
JOBS = 4000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Service]:
    with serving(api=False, WORKER_LEASE_SECONDS="5") as service:
        yield service


@pytest.fixture
def jobs(cluster: Service) -> Iterator[Direct]:
    yield Direct(cluster)
    cluster.reset()


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    """The file to which handlers append their starts."""
    return tmp_path / "starts"


def note_jobs(starts: Path, count: int = JOBS) -> list[NewJob]:
    params = orjson.dumps({"file": str(starts)})
    return [NewJob(JOB_TYPES["note_start"], params, "held-test") for _ in range(count)]


def read_starts(starts: Path) -> list[tuple[str, float]]:
    """Job id and time of each start, in the order of the file."""
    lines = [line.split() for line in starts.read_text().splitlines()]
    return [(job_id, float(at)) for job_id, _, at in lines]


def records(jobs: Direct, ids: list[str]) -> list[tuple[str, int]]:
    """State and attempt of each job."""
    pipeline = jobs.service.redis.pipeline(transaction=False)
    for job_id in ids:
        pipeline.hmget(redis_keys.RECORD + job_id, "state", "attempt")
    return [(state.decode(), int(attempt or 0)) for state, attempt in pipeline.execute()]


def wait_until_all_end(jobs: Direct, ids: list[str]) -> None:
    wait_until(
        lambda: {state for state, _ in records(jobs, ids)} <= {"completed", "failed"}, "all have ended"
    )


def test_another_worker_runs_the_jobs_that_a_blocked_one_holds(jobs: Direct, starts: Path) -> None:
    jobs.service.start_workers(2, module=MODULE, WORKER_CONCURRENCY=str(SLOTS))
    block = orjson.dumps({"seconds": BLOCKED_SECONDS, "file": str(starts)})
    blocker = NewJob(JOB_TYPES["block_noted"], block, "held-test")
    ids = jobs.submit_all([*note_jobs(starts), blocker, *note_jobs(starts, JOBS // 8)])
    wait_until_all_end(jobs, ids)

    assert set(records(jobs, ids)) == {("completed", 1)}
    begun = read_starts(starts)
    assert sorted(job_id for job_id, _ in begun) == sorted(ids)  # each job once
    blocked_at = dict(begun)[ids[JOBS]]
    idle_at = max(at for job_id, at in begun if at < blocked_at + BLOCKED_SECONDS - 1)
    late = [job_id for job_id, at in begun if at > idle_at]
    assert len(late) < SLOTS  # those that had a slot of the blocked worker


def test_a_kill_charges_no_job_that_was_only_held(jobs: Direct, starts: Path) -> None:
    """Each job has one attempt, so a charged one fails it."""
    [worker] = jobs.service.start_workers(1, module=MODULE, WORKER_CONCURRENCY=str(SLOTS))
    ids = jobs.submit_all(note_jobs(starts))
    wait_until(lambda: starts.exists() and len(read_starts(starts)) > JOBS / 4, "many have started")
    worker.kill()
    begun = {job_id for job_id, _ in read_starts(starts)}
    jobs.service.start_worker(module=MODULE)
    wait_until_all_end(jobs, ids)

    lost = {job_id for job_id, (state, _) in zip(ids, records(jobs, ids), strict=True) if state == "failed"}
    assert len(lost - begun) <= SLOTS  # those that had a slot of the killed worker
    assert len(read_starts(starts)) == JOBS - len(lost - begun)
