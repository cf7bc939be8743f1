"""Webhook receivers that accept connections and never answer: deliveries to other receivers stay on time."""

import signal
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from threading import Thread
from typing import Any

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly, figure
from chaos.suite_options import SuiteOptions
from dev.percentiles import percentile
from dev.service import Service
from dev.webhook_receiver import SECRET, WebhookReceiver
from shared.store import redis_keys

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6")
STUCK, HEALTHY = 80, 60  # deliveries to each tarpit, and to the other receiver
APART = 0.3  # seconds between two healthy deliveries
MAX_SECONDS, PATIENCE = 2.0, 30.0


class Tarpit:
    """A server that accepts connections, keeps them open and never answers.

    Attributes:
        url: its address, for webhooks.
        connections: the accepted connections.
    """

    def __init__(self, host: str) -> None:
        self._server = socket.create_server((host, 0), backlog=1000)
        self.url = "http://{}:{}/hook".format(*self._server.getsockname())
        self.connections: list[socket.socket] = []
        self._thread = Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for connection in (self._server, *self.connections):
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):  # after the shutdown
            while True:
                self.connections.append(self._server.accept()[0])


def run(options: SuiteOptions) -> list[Check]:
    stuck, healthy = options.scaled(STUCK), options.scaled(HEALTHY)
    settings: dict[str, Any] = {
        "WEBHOOK_SECRETS": SECRET,
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WORKER_GRACE_SECONDS": "1",
    }
    with ExitStack() as stack:
        tarpits = [stack.enter_context(closing(Tarpit(host))) for host in HOSTS]
        receiver = stack.enter_context(closing(WebhookReceiver()))
        service = stack.enter_context(chaos_service(workers=1, **settings))
        stuck_ids = [job_id for tarpit in tarpits for job_id in submit(service, tarpit.url, stuck)]
        records.settled(service.redis, stuck_ids, seconds=PATIENCE)  # their deliveries are queued first
        times = [deliver(service, receiver) for _ in range(healthy)]
        (worker,) = service.workers
        worker.send(signal.SIGTERM)  # the worker releases its claims, so that only real attempts stay charged
        worker.process.wait(timeout=PATIENCE)
        found = records.read(service.redis, [f"{redis_keys.DELIVERY_ID}1-{job_id}" for job_id in stuck_ids])
        attempts = sum(len(tarpit.connections) for tarpit in tarpits)
        return judge(times, found, attempts, len(worker.lines))


def submit(service: Service, url: str, count: int) -> list[str]:
    job = {"type": "echo", "params": {"message": "hi"}, "webhook": {"url": url}}
    answer = service.http.post(f"{service.stack.api_url}/jobs/batch", json={"jobs": [job] * count})
    return [item["job_id"] for item in answer.json()["items"]]


def deliver(service: Service, receiver: WebhookReceiver) -> float:
    """Submit a job; returns the seconds until the receiver has its webhook, at most PATIENCE."""
    begin = time.monotonic()
    (job_id,) = submit(service, receiver.url, 1)
    while not any(delivery.webhook_id == f"evt_{job_id}" for delivery in receiver.received):
        if time.monotonic() - begin > PATIENCE:
            return PATIENCE
        time.sleep(0.005)
    seconds = time.monotonic() - begin
    time.sleep(max(0, APART - seconds))
    return seconds


def judge(times: Sequence[float], found: dict[str, records.Record], attempts: int, lines: int) -> list[Check]:
    name = f"{len(HOSTS)} tarpits with {len(found) // len(HOSTS)} webhooks each"
    arrived = [seconds for seconds in times if seconds < PATIENCE]
    ended = [record for record in found.values() if record.get("state") != "pending"]
    charged = sum(int(record.get("attempt", 0)) for record in found.values())
    return [
        exactly(f"{name}: webhooks that reach the healthy receiver", len(arrived), len(times)),
        at_most(f"{name}: time until they arrive, p99", percentile(times, 99), MAX_SECONDS, "s"),
        exactly(f"{name}: deliveries to tarpits that are not pending", len(ended), 0),
        at_most(
            f"{name}: attempts charged to tarpits",
            charged,
            attempts,
            note=f" ({attempts:,} connections)",
        ),
        figure(f"{name}: lines of the worker's log", f"{lines:,}"),
    ]
