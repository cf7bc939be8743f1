"""Lookups of host names, in threads of their own.

The system's resolver blocks its thread, for half a minute if no name server answers. In the event loop's own
pool, a few such names would hold up all else that uses it.
"""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

from httpcore import ConnectError

from shared.addresses import Address
from worker.execute import JobPostponed
from worker.threads import run_in_thread

MAX_LOOKUPS = 64  # at once
RETURN_SECONDS = 5.0


class Lookups:
    """Lookups under way: one for each name, which all its callers share."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def find(self, host: str, port: int) -> list[Address]:
        """All addresses of a host, the best first. A literal one may have any spelling that the system knows.

        A cancelled caller leaves the lookup behind: its thread ends when the resolver does.

        Raises:
            ConnectError: the host has no address.
            JobPostponed: too many lookups are under way.
        """
        name = (host, port)
        if name not in self._running:
            if len(self._running) >= MAX_LOOKUPS:
                raise JobPostponed("too many host names are looked up", delay=RETURN_SECONDS)
            task = self._running[name] = asyncio.create_task(_look_up(host, port))
            task.add_done_callback(lambda done: self._end(name, done))
        return await asyncio.shield(self._running[name])

    def _end(self, name: tuple[str, int], task: asyncio.Task[Any]) -> None:
        del self._running[name]
        if not task.cancelled():
            task.exception()  # its callers may have left


async def _look_up(host: str, port: int) -> list[Address]:
    try:
        found = await run_in_thread(resolve, host, port)
    except (OSError, UnicodeError):
        raise ConnectError("its name has no address") from None
    return [ip_address(place[0]) for *_, place in found]


def resolve(host: str, port: int) -> list[Any]:
    """The answer of the system's resolver."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
