"""Check of the header Host: its form, and the hosts that this API answers for."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from starlette.types import Scope

from api.errors import InvalidHost, MisdirectedRequest

NAME = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
PATTERN = re.compile(rf"\*|(\*\.)?{NAME}")
HOST = re.compile(rf"(?P<name>{NAME}|\[[0-9a-f:.]+\])\.?(:[0-9]{{0,5}})?")
EVERY_HOST = "*"
MAX_LENGTH = 300  # characters of a Host header
CACHED = 1024  # hosts whose check is cached; a client may send any number of them


def read_hosts(text: str) -> list[str]:
    """Read a comma-separated list of hosts, in lower case. Raises ValueError, which names the wrong one."""
    hosts = [name.strip().lower() for name in text.split(",") if name.strip()]
    for host in hosts:
        if not PATTERN.fullmatch(host):
            raise ValueError(
                f"{host!r} is no host name such as jobs.example.com or *.example.com, without port"
            )
    return hosts


class AllowedHosts:
    """Hosts that a request may name.

    By DNS rebinding, a web page lets a name of its own lead to a server on its visitor's machine, and the
    browser takes both for one site. Only a name can be rebound, so loopback names and IP addresses always
    pass.

    Args:
        names: host names in lower case, `*.example.com` for all below a name, or `*` for every host.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {"localhost", *names}
        self._suffixes = (".localhost", *(name[1:] for name in names if name.startswith("*.")))
        self._refusal = lru_cache(CACHED)(self._judge)

    def check(self, scope: Scope, hosts: Sequence[bytes]) -> None:
        """Check the Host headers of a request.

        Raises:
            InvalidHost: there is no such header, more than one, or a malformed one. HTTP/1.0 needs none.
            MisdirectedRequest: this API does not answer for that host.
        """
        if len(hosts) == 1:
            if refusal := self._refusal(hosts[0]):
                error, message = refusal
                raise error(message)
        elif hosts:
            raise InvalidHost(f"The request has {len(hosts)} Host headers.")
        elif scope["http_version"] != "1.0":
            raise InvalidHost("The request has no Host header.")

    def _judge(self, host: bytes) -> tuple[type[InvalidHost | MisdirectedRequest], str] | None:
        """The error of a Host header and its message; None if the host is allowed."""
        text = host.decode("latin-1").lower()
        found = HOST.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if found is None or (found["name"].startswith("[") and not _is_address(found["name"])):
            return InvalidHost, "The Host header is neither a host name nor an IP address."
        name = found["name"]
        if (
            EVERY_HOST in self._names
            or name in self._names
            or name.endswith(self._suffixes)
            or _is_address(name)
        ):
            return None
        return MisdirectedRequest, f"This server does not answer for the host {name[:200]!r}."


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
