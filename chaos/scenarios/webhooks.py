"""The receiver is down, slow and failing, workers are killed, Redis restarts: every webhook is delivered."""

import time
from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, empty, exactly, figure
from chaos.suite_options import SuiteOptions
from dev.leftover_keys import find_leftovers
from dev.service import Service
from dev.stack import free_port, wait_until
from dev.webhook_receiver import SECRET, ReceivedWebhook, WebhookReceiver
from shared.store import redis_keys

WORKERS, LEASE = 2, 1
JOBS, KILLS, EVERY = 240, 6, 1.5
FAILING, SLOW = 0.3, 0.1  # shares of the answers
PATIENCE = 60.0
SETTINGS: dict[str, Any] = {
    "WEBHOOK_SECRETS": SECRET,
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
    "WORKER_LEASE_SECONDS": str(LEASE),
    "WORKER_CONCURRENCY": "100",
}
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("echo", {"message": "hi"}),
    ("flaky", {"final": True}),
    ("sleep", {"seconds": 600}),  # cancelled
]


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("webhooks")
    jobs, kills = options.scaled(JOBS), options.scaled(KILLS, least=2)
    port = free_port()
    with chaos_service(workers=WORKERS, **SETTINGS) as service:
        job_ids = [submit(service, n, f"http://127.0.0.1:{port}/hook") for n in range(jobs)]
        for job_id in job_ids[2::3]:
            service.call("DELETE", f"/jobs/{job_id}")
        found = records.settled(service.redis, job_ids, seconds=PATIENCE)  # the receiver is down until here
        receiver = WebhookReceiver(port, answer_at_random(rng))
        try:
            disturb(service, job_ids, kills, rng)
            late = count_undelivered(service, job_ids)
        finally:
            receiver.close()
        leases = redis_keys.LEASES + redis_keys.WEBHOOKS
        wait_until(lambda: service.redis.zcard(leases) == 0, "no delivery has a lease")
        _, leftovers = find_leftovers(service.redis)
    name = f"webhooks of {jobs} jobs, kill -9 × {kills}, Redis × 1"
    return [
        exactly(f"{name}: jobs that ended", sum(map(records.is_done, found.values())), jobs),
        exactly(f"{name}: deliveries that did not succeed", late, 0),
        *check_received(name, receiver.received, job_ids),
        empty(f"{name}: keys that should not be there", leftovers),
    ]


def check_received(name: str, received: list[ReceivedWebhook], job_ids: list[str]) -> list[Check]:
    """Check that each job's end was received, with a right signature and always the same body."""
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for webhook in received:
        bodies[webhook.webhook_id].add(webhook.body)
    expected = {f"evt_{job_id}" for job_id in job_ids}
    return [
        exactly(f"{name}: jobs whose webhook was received", len(bodies.keys() & expected), len(job_ids)),
        exactly(f"{name}: wrong signatures", sum(not webhook.signature_valid for webhook in received), 0),
        at_most(f"{name}: bodies under one webhook-id", max(map(len, bodies.values()), default=0), 1),
        figure(f"{name}: webhooks received", f"{len(received):,}"),
    ]


def answer_at_random(rng: Random) -> Callable[[], int]:
    """Answers of a receiver that is sometimes slow and often failing."""

    def answer() -> int:
        if rng.random() < SLOW:
            time.sleep(0.5)
        return 500 if rng.random() < FAILING else 204

    return answer


def disturb(service: Service, job_ids: list[str], kills: int, rng: Random) -> None:
    """Kill workers, and Redis once, while deliveries are made."""
    alive = list(service.workers)
    for kill in range(kills):
        time.sleep(EVERY)
        alive.pop(rng.randrange(len(alive))).kill()
        alive.append(service.start_worker())
        if kill == kills // 2:
            service.restart_redis()
        redeliver(service, job_ids)


def submit(service: Service, number: int, url: str) -> str:
    job_type, params = KINDS[number % len(KINDS)]
    body = {"type": job_type, "params": params, "webhook": {"url": url}}
    return str(service.call("POST", "/jobs", json=body).json()["job_id"])


def redeliver(service: Service, job_ids: list[str]) -> None:
    """Send waiting deliveries now, as a receiver's operator would, instead of after their backoff."""
    for job_id in job_ids:
        if not is_delivered(service, job_id):
            service.call("POST", f"/jobs/{job_id}/webhook/redeliver")


def is_delivered(service: Service, job_id: str) -> bool:
    state = service.redis.hget(f"{redis_keys.RECORD}{redis_keys.DELIVERY_ID}1-{job_id}", "state")
    return bool(state == b"completed")


def count_undelivered(service: Service, job_ids: list[str]) -> int:
    """The number of deliveries that do not succeed within PATIENCE."""
    end = time.monotonic() + PATIENCE
    while left := [job_id for job_id in job_ids if not is_delivered(service, job_id)]:
        if time.monotonic() > end:
            break
        time.sleep(1)
        redeliver(service, left)
    return len(left)
