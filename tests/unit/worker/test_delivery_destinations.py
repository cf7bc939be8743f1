"""Destinations of webhooks: addresses, redirects, proxies and certificates."""

import ssl

import httpcore
import pytest

from shared.webhooks.signing import read_secrets
from tests.certificates import certificate
from tests.unit.worker.webhook_receiver import LOOPBACK, SECRETS, Receiver, answering, deliver, failure
from worker.webhooks.deliverer import Deliverer

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
