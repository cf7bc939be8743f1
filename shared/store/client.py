"""Clients of Redis, as both processes and the tools open them."""

from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool

from shared.store.cluster import lead_to_shard
from shared.store.connections import CONNECTIONS
from shared.store.connections import REDIS_GONE as REDIS_GONE
from shared.store.redis_url import TLS_OPTIONS, read_redis_url
from shared.store.sentinels import PrimaryConnection, Sentinels, TlsPrimaryConnection
from shared.store.slots import tag_of

Argument = str | bytes | int | float


class Runner(Protocol):
    """A sender of commands to Redis: a client or a `Multiplexer`."""

    async def execute_command(self, name: str, *words: Argument) -> Any: ...


def tag_of_client(redis: ArqRedis) -> str:
    """The hash tag of the shard that a client leads to; empty without shards."""
    shard: int | None = redis.connection_pool.connection_kwargs.get("shard")
    return "" if shard is None else tag_of(shard)


def connect(url: str, *, read_timeout: float = 5.0, connections: int = 8, shard: int = 0) -> ArqRedis:
    """Open a client for `url`, whose connections open when they are first needed.

    Args:
        url: in one of the forms of `redis_url`.
        read_timeout: seconds to wait for a reply.
        connections: connections at most.
        shard: the number of the shard to reach, in a cluster.
    """
    address = read_redis_url(url)
    scheme = urlsplit(address.server).scheme
    options: dict[str, Any] = {"socket_timeout": read_timeout, "socket_connect_timeout": 1.0}
    if scheme != "unix":
        options |= {"socket_keepalive": True, "health_check_interval": 30}
    if address.tls:
        options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    pool = BlockingConnectionPool.from_url(
        address.server, max_connections=connections, timeout=read_timeout, **options
    )
    pool.connection_class = CONNECTIONS[pool.connection_class]
    if address.sentinels:
        tls = {name: value for name, value in pool.connection_kwargs.items() if name in TLS_OPTIONS}
        pool.connection_kwargs["sentinels"] = Sentinels(address, tls)
        pool.connection_class = TlsPrimaryConnection if address.tls else PrimaryConnection
    if address.nodes:
        lead_to_shard(pool, address.nodes, shard, tls=address.tls)
    return ArqRedis(pool, job_serializer=orjson.dumps, job_deserializer=orjson.loads)


def sentinels_of(redis: ArqRedis) -> Sentinels | None:
    """The Sentinels that name the primary of a client; None if its URL names the server."""
    found: Sentinels | None = redis.connection_pool.connection_kwargs.get("sentinels")
    return found
