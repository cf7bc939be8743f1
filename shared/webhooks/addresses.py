"""Addresses of webhooks: their form, their parts, and the ports that they may name."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from shared.addresses import Address

MAX_URL_LENGTH = 2000
OPEN_PORTS = {80, 443}  # and all above 1024
IPV4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
NAME = r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z][A-Za-z0-9_-]{0,62}"
HOST = rf"\[([0-9A-Fa-f:.]+)\]|({IPV4})|({NAME})"
URL = rf'(https?)://((?:{HOST})(?::([0-9]{{1,5}}))?)([/?][!"$-~]*)?'


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


def read_host(text: str) -> str:
    """The host of a receiver as its key has it. Raises ValueError."""
    try:
        target = read_target(f"https://{text}")
    except ValueError:
        target = None
    if target is None or target.port is not None or target.path != "/" or text.endswith("/"):
        raise ValueError("must be a host such as hooks.example.com, without scheme, port and path")
    return target.host.lower()
