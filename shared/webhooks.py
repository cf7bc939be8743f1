"""Webhooks, as the Standard Webhooks specification has them: addresses, secrets, signatures, deliveries.

`python -m shared.webhooks` makes a secret, the setting `WEBHOOK_SECRETS` lists those in use.
"""

import argparse
import hmac
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, Field, SecretBytes

from shared.addresses import Address
from shared.contract import Backoff, Contract, Params

PREFIX = "whsec_"
SHORTEST_KEY, LONGEST_KEY, NEW_KEY = 24, 64, 32  # bytes
LONGEST_URL = 2000
IPV4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
NAME = r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z][A-Za-z0-9_-]{0,62}"
HOST = rf"\[([0-9A-Fa-f:.]+)\]|({IPV4})|({NAME})"
URL = rf'(https?)://((?:{HOST})(?::([0-9]{{1,5}}))?)([/?][!"$-~]*)?'


# -- addresses


class Target(NamedTuple):
    """Where a webhook goes.

    Attributes:
        authority: host and port, as the address spells them.
        host: a name, or an IP address without brackets.
        address: the host, if it is an IP address.
        port: None for that of the scheme.
        path: with the query.
    """

    scheme: str
    authority: str
    host: str
    address: Address | None
    port: int | None
    path: str


def read_target(url: str) -> Target:
    """The parts of a webhook's address.

    Raises:
        ValueError: it can't be read, or in more than one way, as with an IPv4 address in octal numbers.
    """
    found = re.fullmatch(URL, url)
    if not found or len(url) > LONGEST_URL:
        raise ValueError(
            "must be like https://example.com/hook: http or https, the host in ASCII, no user, no fragment, "
            f"at most {LONGEST_URL} characters"
        )
    scheme, authority, ipv6, ipv4, name, port, path = found.groups()
    address = IPv6Address(ipv6) if ipv6 else IPv4Address(ipv4) if ipv4 else None
    if port and not 0 < int(port) < 65536:
        raise ValueError("must have a port from 1 to 65535")
    path = "/" + (path or "").removeprefix("/")
    return Target(scheme, authority, str(address or name), address, int(port) if port else None, path)


def _check_url(url: str) -> str:
    read_target(url)
    return url


WebhookUrl = Annotated[
    str,
    AfterValidator(_check_url),
    Field(json_schema_extra={"pattern": f"^{URL}$", "maxLength": LONGEST_URL}),
]


# -- secrets and signatures


def read_secrets(text: str) -> list[SecretBytes]:
    """The keys of a comma-separated list of secrets.

    Raises:
        ValueError: one is wrong. The message quotes nothing of it.
    """
    keys = []
    for number, secret in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        try:
            key = b64decode(secret.removeprefix(PREFIX), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith(PREFIX) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            raise ValueError(
                f"entry {number} must be {PREFIX} and the base64 of {SHORTEST_KEY} to {LONGEST_KEY} bytes; "
                "python -m shared.webhooks makes one"
            )
        keys.append(SecretBytes(key))
    return keys


def webhook_id(job_id: str) -> str:
    """The header `webhook-id`: what tells the end of this job from all other events."""
    return f"evt_{job_id}"


def sign(keys: Iterable[SecretBytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: a signature with each key, so that any of them proves it."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key.get_secret_value(), signed, sha256) for key in keys)
    return " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)


# -- deliveries


class DeliveryParams(Params):
    """One webhook to deliver.

    Attributes:
        job_id: the job that has ended.
        url: where to.
        fields: its record, as Redis holds it.
        ended_at: milliseconds since the epoch; when the time for its delivery began.
    """

    job_id: str
    url: WebhookUrl
    fields: dict[str, str]
    ended_at: int


class Delivered(BaseModel):
    """What the receiver answered, and after how many seconds."""

    status: int
    seconds: float


DELIVERY = Contract(
    name="webhook",
    summary="Tell the address that a job's submission named that the job has ended.",
    params=DeliveryParams,
    result=Delivered,
    example={},
    queue="internal.webhooks",
    timeout=30,
    max_attempts=1000,  # the time that a delivery has ends sooner
    backoff=Backoff(first=6, factor=3, longest=4 * 3600, jitter=0.3),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a secret and print it."""
    argparse.ArgumentParser(
        prog="python -m shared.webhooks", description="Make a webhook secret."
    ).parse_args(arguments)
    print(
        "The secret, for the server and for those who receive its webhooks, to check the signatures with:\n"
    )
    print(f"  {PREFIX}{b64encode(secrets.token_bytes(NEW_KEY)).decode()}\n")
    print("Put it first in WEBHOOK_SECRETS, before a comma if there are others, and restart API and workers.")
    print("Every webhook is signed with all of them: drop an old one once every receiver knows the new one.")


if __name__ == "__main__":
    main()
