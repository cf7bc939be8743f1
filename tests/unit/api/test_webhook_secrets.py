"""The secrets of a receiver, shown to the owner of a key."""

import json
import time

import pytest

from client.errors import NotGenuine
from client.webhooks import verify
from shared.record import EXAMPLE_RECORD
from shared.webhooks.signing import read_secrets, sign, signing_keys
from tests.unit.api.callers import KEYS, as_caller, refused

MASTERS = ",".join(["whsec_" + "A" * 32, "whsec_" + "B" * 32])
BODY = json.dumps(
    {"type": "job.completed", "timestamp": "2026-01-01T12:00:00Z", "data": EXAMPLE_RECORD}
).encode()


@pytest.fixture
async def closed(serve, fake_redis):
    return await serve(fake_redis, api_keys=KEYS, webhook_secrets=MASTERS)


def webhook(caller: str, host: str) -> dict[str, str]:
    """The headers of a webhook that receivers alone can check by their own secrets."""
    keys = signing_keys(read_secrets(MASTERS), "receiver", caller=caller, host=host)
    now = int(time.time())
    signature = sign(keys, "evt_1", now, BODY)
    return {"webhook-id": "evt_1", "webhook-timestamp": str(now), "webhook-signature": signature}


async def test_a_receiver_verifies_with_any_of_its_secrets(closed):
    answer = await closed.get("/webhook-secrets/Hooks.Example.com", headers=as_caller("ann"))
    assert answer.status_code == 200
    told = answer.json()
    assert (told["host"], told["caller"], len(told["secrets"])) == ("hooks.example.com", "ann", 2)
    for secret in told["secrets"]:
        assert verify(webhook("ann", "hooks.example.com"), BODY, secret).type == "job.completed"


@pytest.mark.parametrize(("caller", "host"), [("last", "hooks.example.com"), ("ann", "other.example.com")])
async def test_the_secrets_of_another_caller_or_host_prove_nothing(closed, caller, host):
    answer = await closed.get(f"/webhook-secrets/{host}", headers=as_caller(caller))
    with pytest.raises(NotGenuine):
        verify(webhook("ann", "hooks.example.com"), BODY, answer.json()["secrets"])


@pytest.mark.parametrize("host", ["a:443", "a%2Fb", "https%3A", "%20", "a..b"])
async def test_a_path_that_names_no_host_is_refused(closed, host):
    answer = await closed.get(f"/webhook-secrets/{host}", headers=as_caller("ann"))
    assert answer.status_code in (404, 422)


async def test_without_a_scope_to_read_no_secret_is_shown(closed):
    refused(await closed.get("/webhook-secrets/a.example", headers=as_caller("writer")), 403, "forbidden")


async def test_without_keys_no_secret_is_shown(serve, fake_redis):
    client = await serve(fake_redis, webhook_secrets=MASTERS)
    envelope = refused(await client.get("/webhook-secrets/a.example"), 403, "forbidden")
    assert "python -m shared.webhooks --host" in envelope.hint


async def test_without_webhooks_there_are_no_secrets(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS)
    answer = await client.get("/webhook-secrets/a.example", headers=as_caller("ann"))
    refused(answer, 422, "webhooks_disabled")
