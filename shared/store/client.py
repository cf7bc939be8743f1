"""Clients of Redis, as both processes and the tools open them."""

from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

Argument = str | bytes | int | float
REDIS_GONE = (RedisError, OSError, TimeoutError)


class Runner(Protocol):
    """A sender of commands to Redis: a client or a `Multiplexer`."""

    async def execute_command(self, name: str, *words: Argument) -> Any: ...


def tag_of_client(redis: ArqRedis) -> str:
    """The hash tag of the shard that a client leads to; empty without shards."""
    tag: str = getattr(redis.connection_pool, "tag", "")
    return tag


def connect(url: str, *, read_timeout: float = 5.0, connections: int = 8) -> ArqRedis:
    """Open a client for `url`, whose connections open when they are first needed.

    Args:
        url: redis://, rediss:// or unix://; user and password percent-encoded.
        read_timeout: seconds to wait for a reply.
        connections: connections at most.
    """
    scheme = urlsplit(url).scheme
    options: dict[str, Any] = {"socket_timeout": read_timeout, "socket_connect_timeout": 1.0}
    if scheme != "unix":
        options |= {"socket_keepalive": True, "health_check_interval": 30}
    if scheme == "rediss":
        options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    pool = BlockingConnectionPool.from_url(url, max_connections=connections, timeout=read_timeout, **options)
    return ArqRedis(pool, job_serializer=orjson.dumps, job_deserializer=orjson.loads)
