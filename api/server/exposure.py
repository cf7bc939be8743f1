"""Warning in the log if an API without keys can be reached from other machines."""

import asyncio
import contextlib
import os
import socket
import stat
from ipaddress import ip_address
from pathlib import Path

from shared.logging import get_log

DESCRIPTORS = Path("/dev/fd")
LOOKS = 200
SECONDS_BETWEEN_LOOKS = 0.05

log = get_log(__name__)


async def warn_if_exposed() -> None:
    """Warn once this process listens on an address that is not loopback.

    No server tells an app where it listens, and uvicorn listens only after the app has started; its command
    line does not show an inherited socket, or another server. So this looks at the listening sockets of the
    process, until there is one, for ten seconds at most.
    """
    for _ in range(LOOKS):
        hosts = _listening_hosts()
        if exposed := sorted(host for host in hosts if not ip_address(host).is_loopback):
            log.warning(
                "the API is open to everybody who can reach it",
                listens_on=exposed,
                hint="Set API_KEYS (python -m api.keys makes keys), or let only this machine reach it.",
            )
        if hosts:
            return
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


def _listening_hosts() -> set[str]:
    """The IP addresses on which this process accepts connections."""
    hosts = set()
    for number in [int(path.name) for path in DESCRIPTORS.iterdir()]:
        with contextlib.suppress(OSError):  # closed since it was listed
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                with socket.socket(fileno=os.dup(number)) as found:
                    if _listens(found):
                        hosts.add(found.getsockname()[0])
    return hosts


def _listens(candidate: socket.socket) -> bool:
    over_ip = candidate.family in (socket.AF_INET, socket.AF_INET6)
    return over_ip and bool(candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
