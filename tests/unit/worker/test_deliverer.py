"""Deliveries of webhooks: the signed request, and the receiver's answers."""

import asyncio
import json
import socket
import struct
import time

import pytest

from dev.stack import free_port
from shared import VERSION
from shared.errors import RetryableError
from shared.stored_record import StoredRecord
from shared.webhooks.signing import read_secrets
from tests.unit.worker.webhook_receiver import (
    FIELDS,
    LOOPBACK,
    OK,
    SECRETS,
    answering,
    deliver,
    failure,
    hang_up,
    verified,
)
from worker.webhooks.deliverer import Deliverer

# -- what is sent


async def test_the_end_of_a_job_is_told_in_a_signed_request(receiver, deliverer):
    delivered = await deliver(deliverer, receiver.url)
    assert delivered.status == 204
    assert 0 <= delivered.seconds < 5
    ((line, headers, body),) = receiver.requests
    assert line == "POST /hook?a=b HTTP/1.1"
    assert headers["host"] == receiver.url.split("/")[2]
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == f"job-server/{VERSION}"
    assert headers["webhook-id"] == "evt_a-job"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert [verified(secret, headers, body) for secret in SECRETS] == [True, True]
    assert len(headers["webhook-signature"].split(" ")) == 4  # two of the receiver's own, two shared ones
    assert not verified(SECRETS[0], headers, body + b" ")
    record = StoredRecord(
        "a-job", {name.encode(): value.encode() for name, value in FIELDS.items()}
    ).to_json()
    start = b'{"type":"job.completed","timestamp":"2026-01-01T12:00:02.345000Z","data":'
    assert body == start + record + b"}"


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
async def test_the_event_says_how_the_job_ended(receiver, deliverer, state):
    await deliver(deliverer, receiver.url, state=state)
    event = json.loads(receiver.requests[0][2])
    assert (event["type"], event["data"]["state"], event["data"]["done"]) == (f"job.{state}", state, True)


async def test_another_attempt_sends_the_same_with_a_time_of_its_own(receiver, deliverer, monkeypatch):
    receiver.answers = [answering(500)]
    assert (await failure(deliverer, receiver.url)).code == "webhook_refused"
    later = time.time() + 30
    monkeypatch.setattr(time, "time", lambda: later)
    assert (await deliver(deliverer, receiver.url, attempt=2)).status == 204
    (_, first, body), (_, second, again) = receiver.requests
    assert (first["webhook-id"], body) == (second["webhook-id"], again)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) in (30, 31)
    assert verified(SECRETS[0], second, again)


async def test_a_connection_is_used_again(receiver, deliverer):
    receiver.answers = [answering(200, body=b"thanks"), answering(500, body=b"no"), OK]
    await deliver(deliverer, receiver.url)
    await failure(deliverer, receiver.url)
    await deliver(deliverer, receiver.url)
    assert (len(receiver.requests), receiver.connections) == (3, 1)


async def test_without_secrets_nothing_is_sent(receiver):
    unsigned = Deliverer([], LOOPBACK)
    error = await failure(unsigned, receiver.url)
    assert (error.code, error.retryable, receiver.connections) == ("webhooks_disabled", True, 0)
    await unsigned.aclose()


# -- what the receiver answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_a_delivery(receiver, deliverer, status):
    receiver.answers = [answering(status)]
    assert (await deliver(deliverer, receiver.url)).status == status


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 502, 503])
async def test_any_other_answer_is_tried_again(receiver, deliverer, status):
    receiver.answers = [answering(status)]
    error = await failure(deliverer, receiver.url)
    assert isinstance(error, RetryableError)
    assert (error.code, error.message) == ("webhook_refused", f"The receiver answers {status}.")
    assert error.retry_after is not None
    assert 4 < error.retry_after <= 6


async def test_410_is_the_end(receiver, deliverer):
    receiver.answers = [answering(410)]
    error = await failure(deliverer, receiver.url)
    assert (error.code, error.retryable) == ("webhook_gone", False)


async def test_a_huge_answer_is_not_read(receiver, deliverer):
    sent = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent += 65536
            await writer.drain()

    receiver.answers = [flood]
    assert (await deliver(deliverer, receiver.url)).status == 200
    assert sent < 20_000_000


async def test_what_follows_the_headers_does_not_undo_a_delivery(receiver, deliverer, monkeypatch):
    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
        await writer.drain()
        await asyncio.Event().wait()

    async def break_off(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
        writer.close()

    monkeypatch.setattr("worker.webhooks.deliverer.BODY_SECONDS", 0.05)
    receiver.answers = [stall, break_off]
    assert (await deliver(deliverer, receiver.url)).status == 200
    assert (await deliver(deliverer, receiver.url)).status == 200


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(
    "answer",
    [reset, hang_up, b"\x16\x03 garbage\r\n\r\n", b"HTTP/1.1 ok\r\n\r\n", b"HTTP/1.1 200 " + b"a" * 10**6],
    ids=["reset", "hang-up", "garbage", "no status", "endless headers"],
)  # fmt: skip
async def test_no_proper_answer_is_tried_again(receiver, deliverer, answer):
    receiver.answers = [answer]
    error = await failure(deliverer, receiver.url)
    assert (error.code, error.retryable) == ("webhook_unreachable", True)
    assert error.message.startswith("The receiver can't be reached: ")


async def test_a_receiver_that_does_not_listen_is_tried_again(deliverer):
    error = await failure(deliverer, f"http://127.0.0.1:{free_port()}/")
    assert (error.code, error.retryable) == ("webhook_unreachable", True)


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["silent", "slow headers"])
async def test_a_slow_receiver_is_not_waited_for(receiver, begin):
    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        await asyncio.Event().wait()

    receiver.answers = [stall]
    impatient = Deliverer(read_secrets(SECRETS[0]), LOOPBACK, timeout=0.1)
    error = await failure(impatient, receiver.url)
    assert (error.code, error.message) == (
        "webhook_unreachable",
        "The receiver can't be reached: no answer within 0.1 s.",
    )
    await impatient.aclose()
