"""Verification of webhooks: signed by a known secret, and within five minutes."""

import json
import subprocess
import sys
from base64 import b64encode
from email.message import Message
from typing import Any

import pytest

from client import JobServerError, NotGenuine, webhooks
from shared.webhooks.signing import read_secrets, sign, signing_keys, write_secret
from tests.unit.client.fake_server import JOB_ID, record

NOW = 1_767_225_600
OLD, NEW, OTHER = (f"whsec_{b64encode(bytes([n]) * 32).decode()}" for n in range(3))
EVENT = {"type": "job.completed", "timestamp": "2026-01-01T00:00:00.000000Z", "data": record("completed")}
BODY = json.dumps(EVENT).encode()


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW + 0.5)


def signed(body: bytes = BODY, secrets: str = NEW, timestamp: int = NOW, **changed: str) -> dict[str, str]:
    """Headers that the server sends with a body."""
    return {
        "Webhook-Id": "evt_7",
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": sign(read_secrets(secrets), "evt_7", timestamp, body),
        **{f"Webhook-{name.title()}": value for name, value in changed.items()},
    }


def refused(headers: dict[str, str], body: bytes = BODY, secrets: Any = NEW) -> NotGenuine:
    with pytest.raises(NotGenuine) as caught:
        webhooks.verify(headers, body, secrets)
    assert isinstance(caught.value, JobServerError)
    assert caught.value.hint
    return caught.value


def test_a_signed_webhook_is_genuine():
    event = webhooks.verify(signed(), BODY, NEW)
    assert (event.id, event.type, event.timestamp.isoformat()) == (
        "evt_7",
        "job.completed",
        "2026-01-01T00:00:00+00:00",
    )
    assert (event.job.job_id, event.job.state) == (JOB_ID, "completed")


@pytest.mark.parametrize(
    ("server", "receiver"),
    [
        (f"{NEW},{OLD}", NEW),
        (f"{NEW},{OLD}", OLD),
        (NEW, [OLD, NEW]),
        (NEW, f"{OLD}, {NEW},"),
        (OLD, iter([OLD, NEW])),
    ],
)
def test_one_secret_in_common_is_enough(server: str, receiver: Any):
    assert webhooks.verify(signed(secrets=server), BODY, receiver).id == "evt_7"


def test_a_receivers_own_secret_verifies_its_webhooks_alone():
    """The server signs with the receiver's secret alone, as from the next release on."""
    keys = signing_keys(read_secrets(f"{NEW},{OLD}"), "receiver", caller="shop", host="hooks.example.com")
    newer, older = (write_secret(key.get_secret_value()) for key in keys)
    headers = signed(signature=sign(keys, "evt_7", NOW, BODY))
    assert webhooks.verify(headers, BODY, newer).id == "evt_7"
    assert webhooks.verify(headers, BODY, older).id == "evt_7"
    assert refused(headers, secrets=NEW).code == "webhook_not_signed"
    for caller, host in (
        (None, "hooks.example.com"),
        ("shop", "example.com"),
        ("other", "hooks.example.com"),
    ):
        (key, _) = signing_keys(read_secrets(f"{NEW},{OLD}"), "receiver", caller=caller, host=host)
        assert refused(headers, secrets=write_secret(key.get_secret_value())).code == "webhook_not_signed"


def test_signatures_of_other_kinds_are_ignored():
    good = signed()["Webhook-Signature"]
    signature = f"v1a,AAAA v1,! v1, v1 {good} v2,{good[3:]}"
    assert webhooks.verify(signed(signature=signature), BODY, NEW).id == "evt_7"


def test_the_headers_may_be_of_any_framework():
    message = Message()
    for name, value in signed().items():
        message[name.upper()] = value
    assert webhooks.verify(message, BODY, NEW).id == "evt_7"


@pytest.mark.parametrize(
    ("headers", "body", "secrets"),
    [
        (signed(), BODY, OTHER),
        (signed(), BODY + b" ", NEW),
        (signed(id="evt_8"), BODY, NEW),
        (signed() | {"Webhook-Timestamp": str(NOW - 1)}, BODY, NEW),
        (signed(signature="v1,"), BODY, NEW),
        (signed(signature=signed()["Webhook-Signature"][3:]), BODY, NEW),
        (signed(signature="v1,not base64"), BODY, NEW),
        (signed(signature="v1,é"), BODY, NEW),
        (signed(signature=f"v1a,{signed()['Webhook-Signature'][3:]}"), BODY, NEW),
    ],
)
def test_an_unsigned_webhook_is_refused(headers: dict[str, str], body: bytes, secrets: str):
    assert refused(headers, body, secrets).code == "webhook_not_signed"


@pytest.mark.parametrize(("off", "genuine"), [(-299, True), (300, True), (-301, False), (302, False)])
def test_a_webhook_counts_for_five_minutes(off: int, genuine: bool):
    headers = signed(timestamp=NOW + off)
    if genuine:
        assert webhooks.verify(headers, BODY, NEW).id == "evt_7"
    else:
        assert refused(headers).code == "webhook_out_of_time"


def test_the_text_tells_old_from_early():
    assert "1000 s old" in str(refused(signed(timestamp=NOW - 1000)))
    assert "1000 s ahead" in str(refused(signed(timestamp=NOW + 1000)))


@pytest.mark.parametrize("name", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_each_header_is_needed(name: str):
    headers = signed()
    del headers[name]
    error = refused(headers)
    assert error.code == "webhook_incomplete"
    assert f"The header {name.lower()} is missing" in str(error)


@pytest.mark.parametrize("timestamp", ["soon", "-1", "1e9", "²", "1" * 400])
def test_a_malformed_timestamp_is_refused(timestamp: str):
    assert refused(signed() | {"Webhook-Timestamp": timestamp}).code == "webhook_incomplete"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"type": "job.completed"}', b"\xff"])
def test_a_signed_body_without_a_job_is_unreadable(body: bytes):
    assert refused(signed(body), body).code == "webhook_unreadable"


@pytest.mark.parametrize("secrets", ["", ",", [], ["whsec_"], "whsec_!", NEW[6:], [NEW, "secret"]])
def test_malformed_secrets_are_a_value_error(secrets: Any):
    with pytest.raises(ValueError, match="secret") as caught:
        webhooks.verify(signed(), BODY, secrets)
    assert not isinstance(caught.value, JobServerError)
    assert "!" not in str(caught.value)


def test_a_receiver_needs_no_package_beside_python():
    program = """
import sys
sys.modules["httpx"] = None
from client import webhooks
import client.webhooks
assert webhooks.verify and client.NotGenuine and client.Job
try:
    client.Client
except ImportError:
    print("blocked")
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("blocked\n", "")
