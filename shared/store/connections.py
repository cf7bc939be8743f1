"""Connections to Redis as redis-py opens them, without two surprises of uvloop and asyncio."""

import asyncio
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

REDIS_GONE = (RedisError, OSError, TimeoutError)
"""The errors of a server that gives no answer, or refuses a command."""


class _Sender(AbstractConnection):
    """A connection whose sending ends as callers expect it.

    1. Once the server has hung up, uvloop raises RuntimeError: a process that opens a connection to a dying
       server would end by it. It becomes a connection error.
    2. Before Python 3.12 `asyncio.wait_for`, in redis-py, swallows a cancellation that comes with the end of
       its task: a connection that is given up would go on, and wait for a frozen server.
    """

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        task = asyncio.current_task()
        cancellations = task.cancelling() if task else 0
        try:
            await super().send_packed_command(*args, **options)
        except RuntimeError as error:
            raise RedisConnectionError("Redis has closed the connection.") from error
        if task and task.cancelling() > cancellations:
            raise asyncio.CancelledError


class TcpConnection(_Sender, Connection):
    """A connection over TCP."""


class TlsConnection(_Sender, SSLConnection):
    """A connection over TCP with TLS."""


class UnixConnection(_Sender, UnixDomainSocketConnection):
    """A connection over a Unix socket."""


CONNECTIONS: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: TcpConnection,
    SSLConnection: TlsConnection,
    UnixDomainSocketConnection: UnixConnection,
}
"""The classes of this module by those of redis-py, which a URL names."""
