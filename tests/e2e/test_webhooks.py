"""Webhooks from end to end, with a receiver on loopback that is slow, down, gone or silent."""

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event
from typing import Any

import pytest

from dev.service import Record, Service, serving
from dev.stack import PATIENCE, free_port, wait_until
from dev.webhook_receiver import SECRET, WebhookReceiver
from shared.store import redis_keys

DELIVERIES = 40  # to a receiver that never answers
TURN_SECONDS = 30.0  # far less than it would take to wait for all of them: 6 at once, 15 s each


def in_turn(*statuses: int) -> Callable[[], int]:
    """Answers: these statuses one after the other, then 204."""
    left = list(statuses)
    return lambda: left.pop(0) if left else 204


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(
        workers=2,
        WEBHOOK_SECRETS=SECRET,
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.1/32",
        WORKER_CONCURRENCY="1",
        WORKER_LEASE_SECONDS="1",
    ) as service:
        yield service


@pytest.fixture
def receivers() -> Iterator[list[WebhookReceiver]]:
    """Receivers that a test starts; they end with the test."""
    started: list[WebhookReceiver] = []
    yield started
    for receiver in started:
        receiver.close()


@pytest.fixture
def receiver(receivers: list[WebhookReceiver]) -> WebhookReceiver:
    receivers.append(WebhookReceiver())
    return receivers[-1]


def submit(service: Service, url: str, job_type: str = "echo", **params: Any) -> str:
    body = {"type": job_type, "params": params or {"message": "hi"}, "webhook": {"url": url}}
    answer = service.call("POST", "/jobs", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["webhook"] == {"url": url}
    return str(answer.json()["job_id"])


def deliveries(service: Service, job_id: str) -> list[Record]:
    found: list[Record] = service.call("GET", f"/jobs/{job_id}/webhook").json()["deliveries"]
    return found


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_a_receiver_is_told_how_a_job_ended(service: Service, receiver: WebhookReceiver, state: str) -> None:
    if state == "cancelled":
        job_id = submit(service, receiver.url, "sleep", seconds=600)
        service.wait_for(job_id, "running")
        service.call("DELETE", f"/jobs/{job_id}")
    else:
        job_id = submit(service, receiver.url, "flaky", final=state == "failed")
    wait_until(lambda: receiver.received, "the webhook comes")
    (delivery,) = receiver.received
    assert delivery.signature_valid
    assert delivery.webhook_id == f"evt_{job_id}"
    record = service.job(job_id)
    assert delivery.event == {
        "type": f"job.{state}",
        "timestamp": record["finished_at"],
        "data": service.call("GET", f"/v1/jobs/{job_id}").json(),
    }
    wait_until(lambda: deliveries(service, job_id)[0]["done"], "the delivery is written down")
    (shown,) = deliveries(service, job_id)
    assert (shown["number"], shown["state"], shown["status"], shown["attempts"]) == (1, "completed", 204, [])


def test_a_receiver_that_was_down_is_told_later(service: Service, receivers: list[WebhookReceiver]) -> None:
    port = free_port()
    job_id = submit(service, f"http://127.0.0.1:{port}/hook")
    wait_until(lambda: [d for d in deliveries(service, job_id) if d["attempts"]], "an attempt has failed")
    (shown,) = deliveries(service, job_id)
    assert (shown["state"], shown["attempts"][0]["code"]) == ("pending", "webhook_unreachable")
    assert shown["next_attempt_at"]
    receivers.append(receiver := WebhookReceiver(port))
    wait_until(lambda: receiver.received, "the webhook comes by itself")
    assert [delivery.webhook_id for delivery in receiver.received] == [f"evt_{job_id}"]


def test_a_receiver_that_fails_is_told_again_with_the_same_id(
    service: Service, receivers: list[WebhookReceiver]
) -> None:
    receivers.append(receiver := WebhookReceiver(answer=in_turn(500, 302)))
    job_id = submit(service, receiver.url)
    for count in (1, 2):
        wait_until(
            lambda: len([e for d in deliveries(service, job_id) for e in d["attempts"]]) == count,  # noqa: B023
            "an attempt has failed",
        )
        assert service.call("POST", f"/jobs/{job_id}/webhook/redeliver").status_code == 202
    wait_until(lambda: deliveries(service, job_id)[0]["done"], "the delivery ends")
    (shown,) = deliveries(service, job_id)
    assert (shown["state"], shown["attempt"], shown["status"]) == ("completed", 3, 204)
    assert {delivery.webhook_id for delivery in receiver.received} == {f"evt_{job_id}"}
    assert {delivery.body for delivery in receiver.received} == {receiver.received[0].body}
    assert all(delivery.signature_valid for delivery in receiver.received)


def test_a_receiver_that_is_gone_is_told_no_more_unless_somebody_asks(
    service: Service, receivers: list[WebhookReceiver]
) -> None:
    receivers.append(receiver := WebhookReceiver(answer=in_turn(410)))
    job_id = submit(service, receiver.url)
    wait_until(lambda: [d for d in deliveries(service, job_id) if d["done"]], "the delivery ends")
    (shown,) = deliveries(service, job_id)
    assert (shown["state"], shown["attempts"][0]["code"]) == ("failed", "webhook_gone")
    assert shown["next_attempt_at"] is None
    assert not is_queued(service, job_id)
    assert len(receiver.received) == 1

    assert service.call("POST", f"/jobs/{job_id}/webhook/redeliver").status_code == 202

    wait_until(lambda: deliveries(service, job_id)[-1]["done"], "the second delivery ends")
    shown_states = [(delivery["number"], delivery["state"]) for delivery in deliveries(service, job_id)]
    assert shown_states == [(1, "failed"), (2, "completed")]
    first, second = receiver.received
    assert second.signature_valid
    assert (second.webhook_id, second.body) == (first.webhook_id, first.body)


def is_queued(service: Service, job_id: str) -> bool:
    """Whether an attempt of the job's first delivery is still to come."""
    queue = redis_keys.QUEUE + redis_keys.WEBHOOKS
    return service.redis.zscore(queue, f"{redis_keys.DELIVERY_ID}1-{job_id}") is not None


def test_webhooks_wait_for_no_slot_of_a_job(service: Service, receiver: WebhookReceiver) -> None:
    """Both workers have one slot, and both are taken."""
    busy = [service.submit_running("sleep", seconds=600) for _ in range(2)]
    job_id = submit(service, receiver.url)
    service.call("DELETE", f"/jobs/{job_id}")
    wait_until(lambda: receiver.received, "the webhook comes")
    assert [service.job(busy_id)["state"] for busy_id in busy] == ["running", "running"]
    for busy_id in busy:
        service.call("DELETE", f"/jobs/{busy_id}")
        service.wait_for(busy_id, "cancelled")


def test_webhooks_hold_no_slot_of_a_job(service: Service, receivers: list[WebhookReceiver]) -> None:
    """More deliveries wait for their answer than both workers have slots, and a job is performed."""
    answers = Event()
    receivers.append(receiver := WebhookReceiver(answer=lambda: 204 if answers.wait(PATIENCE) else 500))
    try:
        told = [submit(service, receiver.url) for _ in range(3)]
        wait_until(lambda: len(receiver.received) == 3, "the deliveries wait for their answer")

        service.run("echo", message="a slot is free")

        shown = [delivery for job_id in told for delivery in deliveries(service, job_id)]
        assert [(delivery["state"], delivery["attempts"]) for delivery in shown] == [("running", [])] * 3
    finally:
        answers.set()


def test_a_receiver_that_never_answers_delays_no_other_one(receiver: WebhookReceiver) -> None:
    """A postponement costs no attempt, and no line of the log at INFO."""
    with (
        socket.create_server(("127.0.0.2", 0), backlog=10 * DELIVERIES) as tarpit,
        serving(
            workers=1,
            WEBHOOK_SECRETS=SECRET,
            WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8",
            WORKER_WEBHOOKS="6",
        ) as service,
    ):
        host, port = tarpit.getsockname()
        stuck = [submit(service, f"http://{host}:{port}/hook") for _ in range(DELIVERIES)]
        for job_id in stuck:
            service.wait_for(job_id, "completed")
        (worker,) = service.workers
        other_id = submit(service, receiver.url)
        wait_until(lambda: receiver.received, "the other receiver hears of it", seconds=TURN_SECONDS)
        delivery_id = f"{redis_keys.DELIVERY_ID}1-{other_id}"
        wait_until(lambda: worker.log("job completed", job_id=delivery_id), "the end is logged")
        queue = redis_keys.QUEUE + redis_keys.WEBHOOKS
        wait_until(lambda: service.redis.zcard(queue) > DELIVERIES / 2, "most deliveries are postponed")

        events = Counter(
            line["event"]
            for line in worker.lines
            if (line.get("job_id") or "").startswith(redis_keys.DELIVERY_ID)
        )
        shown = [delivery for job_id in stuck for delivery in deliveries(service, job_id)]
        charged = sum(len(delivery["attempts"]) for delivery in shown)
        assert [delivery["done"] for delivery in shown] == [False] * DELIVERIES
        assert charged <= connections(tarpit)  # none of them unless the machine is slow: each takes 15 s
        assert events.pop("job completed") == 1
        assert events.total() <= charged


def connections(server: socket.socket) -> int:
    """Connections that a server got so far and has not accepted yet."""
    server.setblocking(False)
    count = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            count += 1
    return count


def test_a_delivery_outlives_the_worker_that_had_it(
    service: Service, receivers: list[WebhookReceiver]
) -> None:
    """All workers die after the end of the job, and before a receiver got the webhook."""
    port = free_port()
    job_id = submit(service, f"http://127.0.0.1:{port}/hook")
    service.wait_for(job_id, "completed")
    for worker in service.workers:
        worker.kill()
    service.workers.clear()
    receivers.append(receiver := WebhookReceiver(port))
    service.start_workers(2)
    wait_until(lambda: receiver.received, "the webhook comes")
