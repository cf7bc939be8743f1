"""Secrets and signatures of webhooks; the setting `WEBHOOK_SECRETS` lists the secrets in use."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Literal

from pydantic import SecretBytes

Signing = Literal["shared", "receiver", "both"]

PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES, NEW_KEY_BYTES = 24, 64, 32  # bytes


def read_secrets(text: str) -> list[SecretBytes]:
    """The keys of a comma-separated list of secrets.

    Raises:
        ValueError: a secret is wrong. The message quotes nothing of the secret.
    """
    keys = []
    for number, secret in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        try:
            key = b64decode(secret.removeprefix(PREFIX), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith(PREFIX) or not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
            raise ValueError(
                f"entry {number} must be {PREFIX} and the base64 of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} "
                "bytes; python -m shared.webhooks makes a secret"
            )
        keys.append(SecretBytes(key))
    return keys


def write_secret(key: bytes) -> str:
    """A key as receivers get it."""
    return f"{PREFIX}{b64encode(key).decode()}"


def receiver_key(secret: SecretBytes, *, caller: str | None, host: str) -> SecretBytes:
    """The key for the webhooks of one caller to one host.

    No receiver can compute the key of another receiver from its own. Neither a caller's name nor a host has a
    line break.
    """
    purpose = f"job-server webhook receiver 1\n{caller or ''}\n{host.lower()}"
    return SecretBytes(hmac.digest(secret.get_secret_value(), purpose.encode(), sha256))


def signing_keys(
    secrets: Sequence[SecretBytes], signing: Signing, *, caller: str | None, host: str
) -> list[SecretBytes]:
    """The keys that sign a webhook: the keys of its receiver first, in each group the newest first."""
    derived = [receiver_key(secret, caller=caller, host=host) for secret in secrets]
    return [*(derived if signing != "shared" else ()), *(secrets if signing != "receiver" else ())]


def webhook_id(job_id: str) -> str:
    """The header `webhook-id`: the id of the event that this job has ended."""
    return f"evt_{job_id}"


def sign(keys: Iterable[SecretBytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: a signature with each key, so that any of the keys verifies it."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key.get_secret_value(), signed, sha256) for key in keys)
    return " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)
