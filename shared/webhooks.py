"""Webhooks by the Standard Webhooks specification: addresses, secrets, signatures, deliveries.

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
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, Field, SecretBytes

from shared.addresses import Address
from shared.job_type import Backoff, JobType, Params

Signing = Literal["shared", "receiver", "both"]

PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES, NEW_KEY_BYTES = 24, 64, 32  # bytes
MAX_URL_LENGTH = 2000
OPEN_PORTS = {80, 443}  # and all above 1024
IPV4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
NAME = r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z][A-Za-z0-9_-]{0,62}"
HOST = rf"\[([0-9A-Fa-f:.]+)\]|({IPV4})|({NAME})"
URL = rf'(https?)://((?:{HOST})(?::([0-9]{{1,5}}))?)([/?][!"$-~]*)?'


# -- addresses


class Target(NamedTuple):
    """The parts of a webhook's address.

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
        ValueError: the address can't be read, or can be read in more than one way, such as an IPv4 address in
            octal numbers.
    """
    found = re.fullmatch(URL, url)
    if not found or len(url) > MAX_URL_LENGTH:
        raise ValueError(
            "must be like https://example.com/hook: http or https, the host in ASCII, no user, no fragment, "
            f"at most {MAX_URL_LENGTH} characters"
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
    Field(json_schema_extra={"pattern": f"^{URL}$", "maxLength": MAX_URL_LENGTH}),
]


def port_of(target: Target) -> int:
    return target.port or (443 if target.scheme == "https" else 80)


def port_may_be_used(port: int, allowed: Iterable[int]) -> bool:
    """Whether webhooks may go to a port. Below 1025 are mail, shells and other services of the system."""
    return port in OPEN_PORTS or port > 1024 or port in allowed


def read_ports(text: str) -> list[int]:
    """The ports of a comma-separated list. Raises ValueError, which names the wrong entry."""
    ports = []
    for name in filter(None, map(str.strip, text.split(","))):
        if not (name.isascii() and name.isdigit() and 0 < int(name[:6]) < 65536):
            raise ValueError(f"{name!r:.20} must be a port from 1 to 65535")
        ports.append(int(name))
    return ports


# -- secrets and signatures


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


def read_host(text: str) -> str:
    """The host of a receiver as its key has it. Raises ValueError."""
    try:
        target = read_target(f"https://{text}")
    except ValueError:
        target = None
    if target is None or target.port is not None or target.path != "/" or text.endswith("/"):
        raise ValueError("must be a host such as hooks.example.com, without scheme, port and path")
    return target.host.lower()


def webhook_id(job_id: str) -> str:
    """The header `webhook-id`: the id of the event that this job has ended."""
    return f"evt_{job_id}"


def sign(keys: Iterable[SecretBytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: a signature with each key, so that any of the keys verifies it."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key.get_secret_value(), signed, sha256) for key in keys)
    return " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)


# -- deliveries


class DeliveryParams(Params):
    """The params of a delivery.

    Attributes:
        job_id: the job that has ended.
        url: the address of the receiver.
        fields: the record of that job, as Redis holds it.
        ended_at: milliseconds since the epoch; the time for the delivery begins then.
    """

    job_id: str
    url: WebhookUrl
    fields: dict[str, str]
    ended_at: int


class Delivered(BaseModel):
    """The status of the receiver's answer, and the seconds until it came."""

    status: int
    seconds: float


DELIVERY = JobType(
    name="webhook",
    summary="Deliver the webhook of a job that has ended.",
    params=DeliveryParams,
    result=Delivered,
    example={},
    queue="internal.webhooks",
    timeout=30,
    max_attempts=1000,  # a delivery ends by its time, long before
    backoff=Backoff(first=6, factor=3, longest=4 * 3600, jitter=0.3),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a secret for the server, or show the secret of a receiver."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.webhooks",
        description="Make a secret for WEBHOOK_SECRETS; with --host, show the secret of a receiver.",
    )
    parser.add_argument("--host", help="the receiver's host, as in the webhook's URL, without port")
    parser.add_argument("--caller", help="the name of the API key that submits the jobs; none without keys")
    options = parser.parse_args(arguments)
    if options.host is None:
        if options.caller is not None:
            parser.error("--caller needs --host: a receiver's secret is for one caller and one host")
        _print_new_secret()
        return
    from shared.settings import SharedSettings, read_settings  # which imports this module

    try:
        host = read_host(options.host)
    except ValueError as error:
        parser.error(f"--host: {error}")
    keys = read_settings(SharedSettings).webhook_secrets
    if not keys:
        parser.error("WEBHOOK_SECRETS is empty: run this with the environment of the API")
    for key in keys:
        print(write_secret(receiver_key(key, caller=options.caller, host=host).get_secret_value()))


def _print_new_secret() -> None:
    print("The secret, for the server alone:\n")
    print(f"  {write_secret(secrets.token_bytes(NEW_KEY_BYTES))}\n")
    print("Put it first in WEBHOOK_SECRETS, before a comma if there are others, and restart API and workers.")
    print("Every webhook is signed with all of them: drop an old one once every receiver knows the new one.")
    print("A receiver gets a secret of its own: python -m shared.webhooks --caller NAME --host HOST.")


if __name__ == "__main__":
    main()
