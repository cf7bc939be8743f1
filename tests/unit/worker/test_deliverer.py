"""Attempts to deliver a webhook to a receiver on loopback."""

import asyncio
import hmac
import json
import os
import socket
import ssl
import struct
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dev.stack import free_port
from shared import VERSION
from shared.errors import FinalError, JobFailure, RetryableError
from shared.stored_record import StoredRecord
from shared.webhooks import DELIVERY, Delivered, read_secrets
from worker.execute import JobPostponed
from worker.webhooks.circuits import FAILURES, FIRST_PAUSE, current
from worker.webhooks.deliverer import Deliverer

SECRETS = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + b64encode(b"k" * 32).decode()]
LOOPBACK = [ip_network("127.0.0.0/8")]
FIELDS = {
    "type": "echo",
    "queue": "default",
    "state": "completed",
    "params": '{"message":"ü"}',
    "result": '{"message": "ü"}',
    "max_attempts": "3",
    "version": "3",
    "webhook": "https://example.com/hook",
    "created_at": "1767268800002",
    "started_at": "1767268801500",
    "finished_at": "1767268802345",
}
OK = b"HTTP/1.1 204 No Content\r\n\r\n"
Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def answering(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Receiver:
    """Takes webhooks, and answers each with the next of `answers`."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.tasks: list[Any] = []
        self.names: list[str] = []  # that TLS was asked for
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *lines = head.decode().split("\r\n")[:-2]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append((line, headers, body))
                answer = self.answers.pop(0) if self.answers else OK
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def listen(self, context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            self.url = f"{'https' if context else 'http'}://127.0.0.1:{port}/hook?a=b"
            yield
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with receiver.listen():
        yield receiver


@pytest.fixture
async def deliverer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deliverer]:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)  # reading what the system trusts takes its time
    deliverer = Deliverer(read_secrets(",".join(SECRETS)), LOOPBACK)
    yield deliverer
    await deliverer.aclose()


async def deliver(
    deliverer: Deliverer, url: str, *, attempt: int = 1, ended_at: float | None = None, **fields: str
) -> Delivered:
    """Make an attempt, as the worker does."""
    handler = deliverer.handler()
    given = {
        "job_id": "a-job",
        "url": url,
        "fields": FIELDS | fields,
        "ended_at": round((ended_at or time.time()) * 1000),
    }
    params = handler.validate(json.dumps(given).encode())
    delivered: Delivered = await handler.perform(params, SimpleNamespace(attempt=attempt))  # type: ignore[arg-type]
    assert json.loads(handler.encode(delivered)) == {"status": delivered.status, "seconds": delivered.seconds}
    return delivered


async def failure(deliverer: Deliverer, url: str, **given: Any) -> JobFailure:
    with pytest.raises(JobFailure) as caught:
        await deliver(deliverer, url, **given)
    assert caught.value.hint
    return caught.value


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver would verify a signature."""
    key = b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = b64encode(hmac.new(key, signed, sha256).digest()).decode()
    return f"v1,{expected}" in headers["webhook-signature"].split(" ")


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


# -- where it is sent


async def test_a_receiver_that_is_not_public_is_never_connected_to(receiver):
    strict = Deliverer(read_secrets(SECRETS[0]), [])
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
        error = await failure(strict, receiver.url.replace("127.0.0.1", host))
        assert (error.code, error.retryable) == ("webhook_blocked", False)
    assert receiver.connections == 0
    await strict.aclose()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(receiver, deliverer, status):
    inside = Receiver()
    async with inside.listen():
        receiver.answers = [answering(status, f"Location: {inside.url}")]
        error = await failure(deliverer, receiver.url)
        assert (error.code, error.message) == ("webhook_refused", f"The receiver answers {status}.")
        assert error.retryable
        assert (len(receiver.requests), inside.connections) == (1, 0)


async def test_proxies_of_the_environment_are_not_used(receiver, monkeypatch):
    proxy = Receiver()
    async with proxy.listen():
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        direct = Deliverer(read_secrets(SECRETS[0]), LOOPBACK)
        await deliver(direct, receiver.url)
        await direct.aclose()
        assert (receiver.connections, proxy.connections) == (1, 0)


async def test_an_ipv6_address_is_named_in_brackets(receiver, deliverer, monkeypatch):
    connect = httpcore.AnyIOBackend.connect_tcp

    async def divert(self, host: str, port: int, timeout: float | None) -> httpcore.AsyncNetworkStream:
        assert host == "2606:4700::1111"
        return await connect(self, "127.0.0.1", port, timeout)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", divert)
    url = receiver.url.replace("127.0.0.1", "[2606:4700::1111]")
    await deliver(deliverer, url)
    assert receiver.requests[0][1]["host"] == url.split("/")[2]


# -- TLS


def certificate(folder: Path, name: str) -> Path:
    """A certificate for a host, signed by itself, and its key."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, day = datetime.now(UTC), timedelta(days=1)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 7, now - day, now + day)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    path = folder / f"{name}.pem"
    path.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.mark.parametrize(
    ("known", "name", "code"),
    [
        (True, "hooks.example", None),
        (True, "other.example", "webhook_unreachable"),
        (False, "hooks.example", "webhook_unreachable"),
    ],
    ids=["known", "of another host", "unknown"],
)
async def test_tls_goes_by_the_name(tmp_path, monkeypatch, known, name, code):
    def resolve(host: str, port: int) -> list[tuple]:
        return [(0, 0, 0, "", ("127.0.0.1", port))]

    pem, receiver = certificate(tmp_path, name), Receiver()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    context.set_servername_callback(lambda _, asked, __: receiver.names.append(asked))
    if known:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    monkeypatch.setattr("worker.webhooks.lookups.resolve", resolve)
    deliverer = Deliverer(read_secrets(SECRETS[0]), LOOPBACK)
    async with receiver.listen(context):
        url = receiver.url.replace("127.0.0.1", "hooks.example")
        if code is None:
            await deliver(deliverer, url)
            assert receiver.requests[0][1]["host"] == url.split("/")[2]
        else:
            error = await failure(deliverer, url)
            assert error.code == code
            assert "CERTIFICATE_VERIFY_FAILED" in error.message
            assert receiver.requests == []
        assert receiver.names == ["hooks.example"]
        await deliverer.aclose()


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


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


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


# -- when it is tried again


@pytest.mark.parametrize(
    ("attempt", "least", "most"), [(1, 4, 6), (2, 12, 18), (5, 340, 486), (40, 10_080, 14_400)]
)
async def test_the_pauses_grow_from_seconds_to_hours(receiver, deliverer, attempt, least, most):
    receiver.answers = [answering(500)]
    pause = (await failure(deliverer, receiver.url, attempt=attempt)).retry_after
    assert least <= pause <= most


def test_the_day_is_over_before_the_attempts_are():
    backoff = DELIVERY.backoff
    shortest = (1 - backoff.jitter) * sum(
        min(backoff.first * backoff.factor**n, backoff.longest) for n in range(DELIVERY.max_attempts - 1)
    )
    assert shortest > 86400


def in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize(
    ("status", "given", "least", "most"),
    [
        (503, lambda: "120", 120, 120),
        (429, lambda: "3600", 3600, 3600),
        (400, in_an_hour, 3590, 3600),
        (503, lambda: "1", 4, 6),  # never sooner than the backoff
        (503, lambda: "Thu, 01 Jan 1970 00:00:00 GMT", 4, 6),
        (503, lambda: "soon", 4, 6),
        (503, lambda: "-5", 4, 6),
        (503, lambda: "9" * 5000, 4, 6),
        (503, lambda: "Fri, 99 Jan 99999 00:00:00 GMT", 4, 6),
        (503, lambda: "604800", 86390, 86400),  # a week: one last attempt when the day ends
        (503, lambda: "9" * 400, 4, 6),
    ],
)  # fmt: skip
async def test_the_receiver_may_ask_for_a_longer_pause(receiver, deliverer, status, given, least, most):
    receiver.answers = [answering(status, f"Retry-After: {given()}")]
    error = await failure(deliverer, receiver.url)
    assert error.code == "webhook_refused"
    assert least <= error.retry_after <= most


@pytest.mark.parametrize("answer", [answering(500), answering(503, "Retry-After: 60"), hang_up])
async def test_after_a_day_it_is_given_up(receiver, deliverer, answer):
    receiver.answers = [answer]
    error = await failure(deliverer, receiver.url, ended_at=time.time() - 86399)
    assert isinstance(error, FinalError)
    assert (error.code, error.retryable) == ("webhook_given_up", False)
    assert error.message.endswith(" It was tried for 24 h.")
    assert "POST /jobs/a-job/webhook/redeliver" in error.hint


@pytest.fixture
async def cut_off(deliverer, receiver) -> Deliverer:
    """A deliverer whose circuit for the receiver's host is open: it postpones every delivery."""
    circuits = deliverer._circuits
    for _ in range(FAILURES):
        with suppress(TimeoutError), circuits.delivery("127.0.0.1"):
            circuits._stall(current.get())
            raise TimeoutError
    return deliverer


async def test_a_delivery_that_may_not_go_is_postponed_until_the_day_is_over(receiver, cut_off):
    with pytest.raises(JobPostponed) as caught:
        await deliver(cut_off, receiver.url, ended_at=time.time() - 86400 + FIRST_PAUSE + 60)
    assert FIRST_PAUSE / 2 < caught.value.delay < FIRST_PAUSE + 5
    assert receiver.requests == []


@pytest.mark.parametrize("age", [86400 - FIRST_PAUSE / 2, 90000])
async def test_a_delivery_that_was_only_ever_postponed_is_given_up_after_a_day(receiver, cut_off, age):
    error = await failure(cut_off, receiver.url, ended_at=time.time() - age)
    assert isinstance(error, FinalError)
    assert (error.code, error.retryable) == ("webhook_given_up", False)
    assert error.message.endswith("before the receiver can be tried again: the circuit of the host is open.")
    assert "POST /jobs/a-job/webhook/redeliver" in error.hint
    assert receiver.requests == []


async def test_an_attempt_late_on_the_day_still_counts(receiver, deliverer):
    assert (await deliver(deliverer, receiver.url, ended_at=time.time() - 90000)).status == 204
