"""A queue is paused and resumed, and jobs are cancelled in bulk, while workers and the API are killed."""

import time
from collections.abc import Callable
from random import Random
from typing import Any

import httpx

from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_least, empty, exactly, figure
from chaos.suite_options import SuiteOptions
from dev.service import Service
from dev.stack import wait_until
from shared.store import redis_keys

WORKERS, SLOTS, LEASE = 4, 10, 2
ROUNDS, JOBS = 12, 300
PAUSED_SECONDS = 1.0  # with a worker's death within
TRIES = 20


def run(options: SuiteOptions) -> list[Check]:
    rng, rounds = options.rng("steering"), options.scaled(ROUNDS, least=2)
    settings: dict[str, Any] = {"WORKER_CONCURRENCY": str(SLOTS), "WORKER_LEASE_SECONDS": str(LEASE)}
    claimed, ids = [], []
    with chaos_service(workers=WORKERS, **settings) as service:
        for number in range(rounds):
            mine = submit(service, f"round-{number}")
            ids += mine
            claimed += play_round(service, mine, rng, number)
        wait_until(
            lambda: queue(service)["backlog"] + queue(service)["scheduled"] == 0, "all jobs have ended"
        )
        states = [service.job(job_id)["state"] for job_id in ids]
        ends = (
            service.redis.zcard(redis_keys.QUEUE + "default"),
            service.redis.zcard(redis_keys.LEASES + "default"),
        )
    name = f"{rounds} pauses, each with kill -9 of a worker or the API"
    return [
        empty(f"{name}: claims between the answer to a pause and the resume", claimed),
        exactly(f"{name}: jobs neither completed nor cancelled", len(ids) - count(states), 0),
        at_least(f"{name}: jobs cancelled in bulk", states.count("cancelled"), 1),
        exactly(f"{name}: jobs and leases left in the queue", sum(ends), 0),
        figure(f"{name}: jobs", f"{len(ids):,}, {states.count('completed'):,} completed"),
    ]


def play_round(service: Service, ids: list[str], rng: Random, number: int) -> list[str]:
    """Pause, kill, cancel a part, resume; returns the jobs that were claimed meanwhile."""
    time.sleep(rng.uniform(0.05, 0.3))
    call(lambda: service.call("POST", "/queues/default/pause", json={"reason": f"round {number}"}))
    before = claims(service, ids)
    victim = rng.choice(service.workers)
    if rng.random() < 0.3:
        service.restart_api()
    elif victim.alive:
        victim.kill()
        service.start_worker()
    body = {"filter": {"state": "pending", "labels": {"round": f"round-{number}", "part": "b"}}}
    call(lambda: service.call("POST", "/jobs/cancel", json=body))
    time.sleep(PAUSED_SECONDS * rng.uniform(0.5, 1.5))
    after = claims(service, ids)
    call(lambda: service.call("POST", "/queues/default/resume"))
    return [job_id for job_id in ids if before[job_id] != after[job_id]]


def submit(service: Service, label: str) -> list[str]:
    jobs = [
        {
            "type": "sleep",
            "params": {"seconds": 0.05},
            "labels": {"round": label, "part": "ab"[number % 2]},
        }
        for number in range(JOBS)
    ]
    answer = call(lambda: service.call("POST", "/jobs/batch", json={"jobs": jobs}))
    return [record["job_id"] for record in answer.json()["items"]]


def call(request: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer to a request that may be repeated, once the API is back."""
    for _ in range(TRIES):
        try:
            answer = request()
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            if answer.status_code < 500:
                return answer
            time.sleep(0.2)
    raise TimeoutError("The API did not answer.")


def claims(service: Service, ids: list[str]) -> dict[str, bytes]:
    return {job_id: service.redis.hget(redis_keys.RECORD + job_id, "claims") for job_id in ids}


def queue(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = call(lambda: service.call("GET", "/queues/default")).json()
    return found


def count(states: list[str]) -> int:
    return states.count("completed") + states.count("cancelled")
