"""The receiver is down, slow and failing, workers are killed, Redis restarts: each job is told of."""

import time
from collections import defaultdict
from typing import Any

from chaos import records
from chaos.checks import Check, at_most, empty, exactly, figure
from chaos.service import chaos_service
from chaos.suite_options import SuiteOptions
from dev.leftover_keys import find_leftovers
from dev.service import Service
from dev.stack import free_port, wait_until
from dev.webhook_receiver import SECRET, WebhookReceiver
from shared.store import redis_keys

WORKERS, LEASE = 2, 1
JOBS, KILLS, EVERY = 240, 6, 1.5
FAILING, SLOW = 0.3, 0.1  # shares of the answers
PATIENCE = 60.0
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("echo", {"message": "hi"}),
    ("flaky", {"final": True}),
    ("sleep", {"seconds": 600}),
]


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("webhooks")
    jobs, kills = options.scaled(JOBS), options.scaled(KILLS, least=2)
    settings: dict[str, Any] = {
        "WEBHOOK_SECRETS": SECRET,
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
        "WORKER_LEASE_SECONDS": str(LEASE),
        "WORKER_CONCURRENCY": "100",
    }

    def answer() -> int:
        if rng.random() < SLOW:
            time.sleep(0.5)
        return 500 if rng.random() < FAILING else 204

    port = free_port()
    with chaos_service(workers=WORKERS, **settings) as service:
        alive = list(service.workers)
        job_ids = [submit(service, n, f"http://127.0.0.1:{port}/hook") for n in range(jobs)]
        for job_id in job_ids[2::3]:
            service.http.delete(f"{service.stack.api_url}/jobs/{job_id}")
        found = records.settled(service.redis, job_ids, seconds=PATIENCE)  # all the while without a receiver
        receiver = WebhookReceiver(port, answer)
        try:
            for kill in range(kills):
                time.sleep(EVERY)
                alive.pop(rng.randrange(len(alive))).kill()
                alive.append(service.start_worker())
                if kill == kills // 2:
                    service.restart_redis()
                hasten(service, job_ids)
            late = undelivered(service, job_ids)
        finally:
            receiver.close()
        wait_until(
            lambda: service.redis.zcard(redis_keys.LEASES + redis_keys.WEBHOOKS) == 0, "no lease is left"
        )
        _, leftovers = find_leftovers(service.redis)
    told = defaultdict(list)
    for delivery in receiver.received:
        told[delivery.webhook_id].append(delivery)
    bodies = [len({delivery.body for delivery in deliveries}) for deliveries in told.values()]
    name = f"webhooks of {jobs} jobs, kill -9 × {kills}, Redis × 1"
    return [
        exactly(f"{name}: jobs that ended", sum(map(records.is_done, found.values())), jobs),
        exactly(f"{name}: jobs told of", len(told.keys() & {f"evt_{job_id}" for job_id in job_ids}), jobs),
        exactly(f"{name}: deliveries that did not end", late, 0),
        exactly(
            f"{name}: webhooks with a wrong signature",
            sum(not d.signature_valid for d in receiver.received),
            0,
        ),
        at_most(f"{name}: bodies under one webhook-id", max(bodies, default=0), 1),
        empty(f"{name}: keys that should not be there", leftovers),
        figure(f"{name}: webhooks in all", f"{len(receiver.received):,}"),
    ]


def submit(service: Service, number: int, url: str) -> str:
    job_type, params = KINDS[number % len(KINDS)]
    body = {"type": job_type, "params": params, "webhook": {"url": url}}
    return str(service.http.post(f"{service.stack.api_url}/jobs", json=body).json()["job_id"])


def hasten(service: Service, job_ids: list[str]) -> None:
    """Let deliveries that wait for their next attempt go out now, as a receiver's operator would."""
    for job_id in job_ids:
        if not delivered(service, job_id):
            service.http.post(f"{service.stack.api_url}/jobs/{job_id}/webhook/redeliver")


def delivered(service: Service, job_id: str) -> bool:
    state = service.redis.hget(f"{redis_keys.RECORD}{redis_keys.DELIVERY_ID}1-{job_id}", "state")
    return bool(state == b"completed")


def undelivered(service: Service, job_ids: list[str]) -> int:
    """How many deliveries have not succeeded when all have had their time."""
    end = time.monotonic() + PATIENCE
    while left := [job_id for job_id in job_ids if not delivered(service, job_id)]:
        if time.monotonic() > end:
            break
        time.sleep(1)
        hasten(service, left)
    return len(left)
