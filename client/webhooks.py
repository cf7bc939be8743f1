"""Verification of received webhooks, by the Standard Webhooks specification."""

import hmac
import json
import time
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from client.errors import NotGenuine
from client.models.jobs import Job

PREFIX = "whsec_"
TOLERANCE = 300  # seconds for the difference of the clocks and for the delivery
ASK_FOR_HEADERS = "Pass all headers as they came; answer the request with 400."
REFUSE = "Answer 400, and do nothing."


class Headers(Protocol):
    """Headers of any framework's request, in any case."""

    def items(self) -> Iterable[tuple[str, str]]: ...


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """The end of a job.

    Attributes:
        id: the same at every delivery: do nothing twice for one id.
        type: `job.completed`, `job.failed` or `job.cancelled`.
        timestamp: the time of the job's end.
        job: the job at its end.
    """

    id: str
    type: str
    timestamp: datetime
    job: Job


def verify(headers: Headers, body: bytes, secrets: str | Iterable[str]) -> WebhookEvent:
    """Verify that one of the secrets signed a webhook within the last five minutes; returns its event.

    Args:
        headers: of the request.
        body: of the request, byte by byte as it came.
        secrets: each begins with `whsec_`; a text may hold several, with commas between.

    Raises:
        NotGenuine: the webhook must not be trusted; `code` is `webhook_incomplete`, `webhook_out_of_time`,
            `webhook_not_signed` or `webhook_unreadable`.
        ValueError: a secret is malformed, or there are no secrets. The message quotes no secret.
    """
    keys = _keys(secrets)
    given = {name.lower(): value for name, value in headers.items()}
    webhook_id, timestamp = _header(given, "webhook-id"), _header(given, "webhook-timestamp")
    signatures = _header(given, "webhook-signature")
    _check_time(timestamp)
    _check_signatures(keys, f"{webhook_id}.{timestamp}.".encode() + body, signatures)
    try:
        event = json.loads(body)
        at = datetime.fromisoformat(event["timestamp"])
        return WebhookEvent(webhook_id, event["type"], at, Job.from_record(event["data"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotGenuine(
            "webhook_unreadable",
            f"The webhook is signed, and holds no record of a job ({error!r}).",
            "Check that the sender is the job server, and that client and server are of the same version.",
        ) from error


def _keys(secrets: str | Iterable[str]) -> list[bytes]:
    if isinstance(secrets, str):
        secrets = filter(None, map(str.strip, secrets.split(",")))
    keys = [_key(secret) for secret in secrets]
    if not keys:
        raise ValueError("There are no secrets; ask the server's operator for one of its WEBHOOK_SECRETS.")
    return keys


def _key(secret: str) -> bytes:
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(PREFIX) or not key:
        raise ValueError(f"A secret must be {PREFIX} and base64, as the server's operator gave it out.")
    return key


def _header(headers: dict[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise NotGenuine("webhook_incomplete", f"The header {name} is missing.", ASK_FOR_HEADERS)
    return value


def _check_time(timestamp: str) -> None:
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 15:
        raise NotGenuine("webhook_incomplete", "The header webhook-timestamp is not a time.", ASK_FOR_HEADERS)
    off = time.time() - int(timestamp)
    if abs(off) > TOLERANCE:
        when = f"{off:.0f} s old" if off > 0 else f"{-off:.0f} s ahead of the clock"
        hint = f"{REFUSE} If all are refused, set this machine's clock."
        raise NotGenuine("webhook_out_of_time", f"The webhook is {when}.", hint)


def _check_signatures(keys: list[bytes], signed: bytes, signatures: str) -> None:
    given = [_digest(signature) for signature in signatures.split(" ") if signature.startswith("v1,")]
    for key in keys:
        expected = hmac.digest(key, signed, sha256)
        if any(hmac.compare_digest(expected, digest) for digest in given):
            return
    hint = f"{REFUSE} If all are refused, check the secret, and that the body is passed unchanged."
    raise NotGenuine("webhook_not_signed", "No signature is by one of the secrets.", hint)


def _digest(signature: str) -> bytes:
    try:
        return b64decode(signature.removeprefix("v1,"), validate=True)
    except ValueError:
        return b""
