"""Connections to a Redis Cluster: each leads to the primary that has a given slot when it opens."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.store.connections import REDIS_GONE, TcpConnection, TlsConnection
from shared.store.redis_url import Address
from shared.store.slots import slot_of, tag_of

ASK_SECONDS = 0.4  # for the first answer of a node that knows a primary
MORE_SECONDS = 0.05  # for the answers of others after it
VIEW_SECONDS = 0.2  # of the answers: with a question for each opening, an outage brought 1,200 a second
TIMES = ("socket_timeout", "socket_connect_timeout")
HOST = ("host", "port")
UNUSABLE = {"fail", "handshake", "noaddr"}  # flags of a node that no connection should lead to


class _Primary(NamedTuple):
    """A primary of some slots, as a node of the cluster knows it; a later epoch is the truth."""

    epoch: int
    address: Address
    slots: list[range]


class Topology:
    """The nodes of a cluster. Connections that open at the same time share the nodes' answers.

    Args:
        nodes: host and port of some of them.
        tls: whether they speak TLS.
        options: user, password and the like, of every connection.
    """

    def __init__(self, nodes: Iterable[Address], *, tls: bool = False, **options: Any) -> None:
        self._seeds = list(nodes)
        self._nodes = list(self._seeds)
        self.connection_class = TlsConnection if tls else TcpConnection
        self.options = options
        self._view: list[_Primary] = []
        self._seen_at = float("-inf")
        self._turn = asyncio.Lock()

    async def primary_of(self, slot: int) -> Address:
        """The address of a slot's primary, by the newest answer of the nodes, at most VIEW_SECONDS old.

        Raises:
            redis.exceptions.ConnectionError: no node names one.
        """
        async with self._turn:
            if time.monotonic() - self._seen_at > VIEW_SECONDS:
                self._view = await self._ask_all()
                self._seen_at = time.monotonic()
                addresses = (primary.address for primary in self._view)
                self._nodes = list(dict.fromkeys([*self._seeds, *addresses]))
        having = [primary for primary in self._view if any(slot in slots for slots in primary.slots)]
        if not having:
            raise RedisConnectionError(f"No node of the cluster names a primary of slot {slot}.")
        return max(having).address

    async def _ask_all(self) -> list[_Primary]:
        """The primaries that the nodes know; nodes that do not answer soon are left out."""
        pending = {asyncio.create_task(self._ask(node)) for node in self._nodes}
        found: list[_Primary] = []
        try:
            while pending:
                patience = MORE_SECONDS if found else ASK_SECONDS
                done, pending = await asyncio.wait(
                    pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                found += [primary for task in done for primary in task.result()]
        finally:
            for task in pending:
                task.cancel()
        return found

    async def _ask(self, node: Address) -> list[_Primary]:
        """The primaries that a node knows; none if it does not answer, or says nothing that makes sense."""
        connection = self.connection_class(host=node[0], port=node[1], **self.options)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("CLUSTER", "NODES")
            answer: bytes = await connection.read_response()
            return [_primary(line, node[0]) for line in answer.decode().splitlines() if _is_primary(line)]
        except (*REDIS_GONE, ValueError, IndexError):
            return []
        finally:
            connection._close()  # type: ignore[no-untyped-call]


def _is_primary(line: str) -> bool:
    flags = set(line.split(" ", 3)[2].split(","))
    return "master" in flags and not flags & UNUSABLE


def _primary(line: str, asked: str) -> _Primary:
    """A primary of a line of CLUSTER NODES. A node that does not know its own address is the one asked."""
    _, place, _, _, _, _, epoch, _, *slots = line.split(" ")
    address, _, names = place.partition(",")
    host, _, port = address.partition("@")[0].rpartition(":")
    name = names.split(",")[0]
    ranges = [_range(words) for words in slots if not words.startswith("[")]  # those are on their way
    return _Primary(int(epoch), (name if name and "=" not in name else host or asked, int(port)), ranges)


def _range(words: str) -> range:
    first, _, last = words.partition("-")
    return range(int(first), int(last or first) + 1)


class _ToPrimary(AbstractConnection):
    """A connection whose address is looked up each time it opens."""

    def __init__(self, *, topology: Topology, shard: int, **options: Any) -> None:
        super().__init__(**options)
        self._topology = topology
        self._slot = slot_of(tag_of(shard))

    async def connect(self) -> None:
        if not self.is_connected:
            self.host, self.port = await self._topology.primary_of(self._slot)
        await super().connect()  # type: ignore[no-untyped-call]


class _ConnectionToPrimary(_ToPrimary, TcpConnection):
    pass


class _TlsConnectionToPrimary(_ToPrimary, TlsConnection):
    pass


def topology_of(redis: Redis) -> Topology:
    """The topology of the cluster that a client leads to."""
    found: Topology = redis.connection_pool.connection_kwargs["topology"]
    return found


def lead_to_shard(pool: ConnectionPool, nodes: Iterable[Address], shard: int, *, tls: bool) -> None:
    """Let each connection of a pool lead to the primary that has the slot of a shard when it opens."""
    options = {name: value for name, value in pool.connection_kwargs.items() if name not in (*TIMES, *HOST)}
    topology = Topology(nodes, tls=tls, **options, **dict.fromkeys(TIMES, ASK_SECONDS))
    pool.connection_kwargs.update(topology=topology, shard=shard)
    pool.connection_class = _TlsConnectionToPrimary if tls else _ConnectionToPrimary
