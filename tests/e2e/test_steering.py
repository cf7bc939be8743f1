"""Queues are paused and drained while workers claim, and figures are those of Redis, whatever happens."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from dev.service import Record, Service, serving
from dev.stack import wait_until
from shared.store import redis_keys


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(workers=4, WORKER_LEASE_SECONDS="2", WORKER_GRACE_SECONDS="0") as service:
        yield service


@pytest.fixture(autouse=True)
def _resumed(service: Service) -> Iterator[None]:
    yield
    service.call("POST", "/queues/default/resume")
    service.call("POST", "/jobs/cancel", json={"filter": {}})
    wait_until(lambda: service.call("GET", "/queues/default").json()["running"] == 0, "no job runs")


def state(service: Service) -> Record:
    queue: Record = service.call("GET", "/v1/queues/default").json()
    return queue


def submit_many(service: Service, count: int, seconds: float = 0.0, **job: object) -> list[str]:
    jobs = [{"type": "sleep", "params": {"seconds": seconds}, **job}] * count
    answer = service.call("POST", "/jobs/batch", json={"jobs": jobs})
    return [record["job_id"] for record in answer.json()["items"]]


def truth(service: Service) -> dict[str, int]:
    """The jobs of the queue as the records have them."""
    now, redis = time.time() * 1000, service.redis
    states: Counter[str] = Counter()
    for key in redis.scan_iter(match=redis_keys.RECORD + "*"):
        stored, run_at = redis.hmget(key, "state", "run_at")
        name = stored.decode()
        states["scheduled" if name == "pending" and run_at and int(run_at) > now else name] += 1
    return {"ready": states["pending"], "scheduled": states["scheduled"], "running": states["running"]}


def shown(service: Service) -> dict[str, int]:
    queue = state(service)
    return {name: queue[name] for name in ("ready", "scheduled", "running")}


def test_no_job_is_claimed_after_the_answer_to_a_pause(service: Service) -> None:
    ids = [job_id for _ in range(4) for job_id in submit_many(service, 1000, 0.02)]
    wait_until(lambda: state(service)["ended_last_minute"]["completed"] > 100, "the workers are busy")
    service.call("POST", "/queues/default/pause", json={"reason": "a test"})
    claims = [service.redis.hget(redis_keys.RECORD + job_id, "claims") for job_id in ids]
    wait_until(lambda: state(service)["running"] == 0, "all running jobs have ended")
    waiting = state(service)["ready"]
    assert waiting > 0
    later = [service.redis.hget(redis_keys.RECORD + job_id, "claims") for job_id in ids]
    assert claims == later
    service.call("POST", "/queues/default/resume")
    wait_until(lambda: state(service)["backlog"] == 0, "the rest has run")
    assert all(service.job(job_id)["state"] == "completed" for job_id in ids[-10:])


def test_a_pause_survives_a_restart_of_redis_and_the_resume_starts_at_once(service: Service) -> None:
    service.call("POST", "/queues/default/pause", json={"reason": "maintenance"})
    wait_until(lambda: service.redis.info("persistence")["aof_pending_bio_fsync"] == 0, "it is on the disk")
    service.restart_redis()
    wait_until(lambda: service.call("GET", "/readyz").status_code == 200, "Redis is back")
    assert state(service)["pause"]["reason"] == "maintenance"
    job_id = service.submit("echo", message=1)
    wait_until(lambda: len(service.worker_pids()) == 4, "the workers are back")
    assert service.job(job_id)["queue_paused"]
    assert service.job(job_id)["state"] == "pending"
    service.call("POST", "/queues/default/resume")
    record = service.wait_for(job_id, "completed")
    assert record["started_at"]


def test_figures_are_those_of_redis_under_load_and_after_a_kill(service: Service) -> None:
    service.call("POST", "/queues/default/pause")
    submit_many(service, 200)
    submit_many(service, 30, delay_seconds=3600)
    assert shown(service) == truth(service) == {"ready": 200, "scheduled": 30, "running": 0}
    service.call("POST", "/queues/default/drain")
    service.call("POST", "/queues/default/resume")
    running = [service.submit("sleep", seconds=600) for _ in range(8)]
    wait_until(lambda: state(service)["running"] == 8, "the jobs run")
    assert shown(service) == truth(service)
    service.workers[0].kill()

    def run_by_workers() -> set[str]:
        workers = service.call("GET", "/workers").json()["items"]
        return {job["job_id"] for worker in workers for job in worker["jobs"]} if len(workers) == 3 else set()

    wait_until(lambda: run_by_workers() == {*running}, "the other workers run its jobs")
    assert truth(service) == shown(service) == {"ready": 0, "scheduled": 0, "running": 8}
    attempts = [service.call("GET", f"/jobs/{job_id}/attempts").json()["items"] for job_id in running]
    assert {attempt["outcome"] for items in attempts for attempt in items} <= {"lost", "running"}


def test_figures_follow_a_flush_of_redis(service: Service) -> None:
    service.call("POST", "/queues/default/pause")
    submit_many(service, 50)
    service.redis.flushall()
    assert shown(service) == {"ready": 0, "scheduled": 0, "running": 0}
    assert not state(service)["paused"]
    assert sum(service.call("GET", "/figures").json()["jobs"].values()) == 0
    living = [worker for worker in service.workers if worker.alive]
    assert len(living) == 3, [worker.lines[-5:] for worker in service.workers]  # one was killed
    for worker in living:
        worker.wait_ready()
    assert service.run("echo", message="again")["state"] == "completed"
