"""Connections to Redis as redis-py opens them, with one kind of error for a server that hangs up."""

from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

REDIS_GONE = (RedisError, OSError, TimeoutError)
"""The errors of a server that gives no answer, or refuses a command."""


class _HangUp(AbstractConnection):
    """A connection whose writes fail with a connection error once the server has hung up.

    uvloop raises RuntimeError then, which would end a process that opens a connection to a dying server.
    """

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*args, **options)
        except RuntimeError as error:
            raise RedisConnectionError("Redis has closed the connection.") from error


class TcpConnection(_HangUp, Connection):
    """A connection over TCP."""


class TlsConnection(_HangUp, SSLConnection):
    """A connection over TCP with TLS."""


class UnixConnection(_HangUp, UnixDomainSocketConnection):
    """A connection over a Unix socket."""


CONNECTIONS: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: TcpConnection,
    SSLConnection: TlsConnection,
    UnixDomainSocketConnection: UnixConnection,
}
"""The classes of this module by those of redis-py, which a URL names."""
