"""The guard: connections to public addresses only, whatever a webhook's host claims to be."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from httpcore import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream, ConnectError, ConnectTimeout

from shared.addresses import Address, Network, kind_of, may_be_reached
from shared.errors import FinalError
from shared.logging import get_log
from shared.webhooks.addresses import port_may_be_used
from worker.webhooks.circuits import Circuits
from worker.webhooks.lookups import Lookups

log = get_log(__name__)


class Guard(AsyncNetworkBackend):
    """Resolves a host, checks its addresses, and connects to one of the checked addresses.

    Nothing resolves the name again between the check and the connection, so the address can't change. TLS
    and the header Host still use the name. Sockets of the file system can't be connected to at all.

    Args:
        allowed: networks that may be reached although they are not public.
        ports: ports that may be used beside those that every webhook may use.
        circuits: bounds of deliveries at once, for each address.
    """

    def __init__(
        self, allowed: Sequence[Network], ports: Sequence[int] = (), circuits: Circuits | None = None
    ) -> None:
        self._allowed = allowed
        self._ports = ports
        self._circuits = circuits
        self._lookups = Lookups()
        self._wire = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        """Connect to the host.

        Raises:
            FinalError: none of its addresses may be reached, or the port may not be used.
            JobPostponed: too much waits for its address, or for its name.
            ConnectError, ConnectTimeout: it has no address, or does not answer at any.
        """
        if not port_may_be_used(port, self._ports):
            raise FinalError(
                f"The webhook's port {port} may not be used.",
                code="webhook_blocked",
                hint="Use 80, 443 or a port above 1024, or let the operator add it to WEBHOOK_ALLOWED_PORTS.",
            )
        try:
            async with asyncio.timeout(timeout):
                addresses = self._reachable(host, await self._lookups.find(host, port))
                return await self._connect(addresses, port, timeout)
        except TimeoutError:
            raise ConnectTimeout("no connection in time") from None

    def _reachable(self, host: str, found: Sequence[Address]) -> list[Address]:
        """The addresses that may be reached, at most one of each family."""
        reachable = [address for address in found if may_be_reached(address, self._allowed)]
        if not reachable:
            kind = kind_of(found[0])
            log.warning("webhook blocked", host=host, addresses=[str(address) for address in found])
            raise FinalError(
                f"The webhook's host {host!r} is not public: its address is {kind}.",
                code="webhook_blocked",
                hint="Name a public host, or let the operator add its network to WEBHOOK_ALLOWED_NETWORKS.",
            )
        return list({address.version: address for address in reversed(reachable)}.values())[::-1]

    async def _connect(
        self, addresses: Sequence[Address], port: int, timeout: float | None
    ) -> AsyncNetworkStream:
        """The first connection that succeeds; each address has its share of the time."""
        if self._circuits:
            for address in addresses:
                self._circuits.enter_address(str(address))
        *others, last = addresses
        for address in others:
            try:
                return await self._wire.connect_tcp(str(address), port, timeout and timeout / len(addresses))
            except (ConnectError, ConnectTimeout):
                continue
        return await self._wire.connect_tcp(str(last), port, timeout)
