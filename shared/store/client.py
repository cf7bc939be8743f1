"""Connections to Redis, and the coalescing of concurrent calls into pipelines."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
from arq.connections import ArqRedis
from hiredis import pack_command
from redis import Redis as BlockingRedis
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

Argument = str | bytes | int | float
REDIS_GONE = (RedisError, OSError, TimeoutError)
PAUSE_BEFORE_REPEAT = 0.05
SUBSCRIPTION_LOOKS = 10.0


class Runner(Protocol):
    """Anything that sends one command to Redis and returns its reply."""

    async def execute_command(self, name: str, *words: Argument) -> Any: ...


class _Lean:
    """What redis-py does for every command, for less.

    Commands are packed in C: in Python that takes longer than all else that a call costs. And they are
    sent without `asyncio.wait_for`, which makes a task of each, and before Python 3.12 may swallow a
    cancellation.
    """

    async def send_packed_command(self: Any, command: Any, check_health: bool = True) -> None:
        if not self.is_connected:
            await self.connect()
        elif check_health:
            await self.check_health()
        try:
            async with asyncio.timeout(self.socket_timeout):
                await self._send_packed_command(command)
        except OSError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"Redis can't be written to: {error!r}.") from error
        except BaseException:
            await self.disconnect(nowait=True)
            raise

    def pack_command(self, *words: Any) -> list[bytes]:
        name, *arguments = words
        return [pack_command((*name.split(), *arguments))]  # a name may be two words, as CLIENT SETINFO


class _Connection(_Lean, Connection):
    pass


class _SSLConnection(_Lean, SSLConnection):
    pass


class _SocketConnection(_Lean, UnixDomainSocketConnection):
    pass


CONNECTIONS = {"redis": _Connection, "rediss": _SSLConnection, "unix": _SocketConnection}


def connect(
    url: str, *, read_timeout: float = 5.0, connections: int = 8, dedicated: bool = False
) -> ArqRedis:
    """A client for `url` that opens its connections when they are first needed.

    Args:
        url: redis://, rediss:// or unix://; user and password percent-encoded.
        read_timeout: seconds to wait for a reply.
        connections: connections at most.
        dedicated: hold one connection for good, and send every command through it in turn. That saves
            what a pool does to hand out a connection: a lock, and a look whether it is still sound.
    """
    scheme = urlsplit(url).scheme
    options: dict[str, Any] = {"socket_timeout": read_timeout, "socket_connect_timeout": 1.0}
    if scheme != "unix":
        options |= {"socket_keepalive": True, "health_check_interval": 30}
    if scheme == "rediss":
        options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    pool = BlockingConnectionPool.from_url(url, max_connections=connections, timeout=read_timeout, **options)
    pool.connection_class = CONNECTIONS[scheme]
    return ArqRedis(
        pool,
        job_serializer=orjson.dumps,
        job_deserializer=orjson.loads,
        single_connection_client=dedicated,
    )


async def messages(redis: Redis, channel: str) -> AsyncIterator[bytes]:
    """The messages of a channel; ends with one of REDIS_GONE when the connection does."""
    async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe(channel)
        while True:
            message = await subscription.get_message(timeout=SUBSCRIPTION_LOOKS)
            if message:
                yield message["data"]


def obstacle(url: str) -> str | None:
    """Why the Redis behind `url` can't serve this project; None if it can, or is away for now.

    For the start of a process: it blocks for two seconds at most.
    """
    with BlockingRedis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0) as redis:
        try:
            info = redis.info("cluster")
        except REDIS_GONE:
            return None
    if info.get("cluster_enabled"):
        return "this is a Redis Cluster; name a single primary, or one behind Sentinel"
    return None


@dataclass(slots=True, eq=False)
class _Command:
    words: tuple[Argument, ...]
    reply: asyncio.Future[Any]
    deadline: float

    def resolve(self, reply: Any) -> None:
        if self.reply.done():  # the caller has gone
            return
        if isinstance(reply, Exception):
            self.reply.set_exception(reply)
        else:
            self.reply.set_result(reply)


class Coalescer:
    """Sends the commands of concurrent callers in one pipeline.

    While a pipeline is on its way, new commands gather; they go out together in the next one. So an
    idle process adds no delay, and a busy one groups by itself. A pipeline that breaks is repeated on a
    new connection, which every script allows, until its commands' time is over.

    Args:
        redis: the client to send through.
        patience: seconds after which a command that Redis has not answered is given up.
    """

    def __init__(self, redis: Redis, *, patience: float = 1.5) -> None:
        self._redis = redis
        self._patience = patience
        self._waiting: list[_Command] = []
        self._sender: asyncio.Task[None] | None = None

    async def execute_command(self, name: str, *words: Argument) -> Any:
        """The reply to one command.

        Raises:
            one of REDIS_GONE: Redis gave no answer in time, or refused the command.
        """
        loop = asyncio.get_running_loop()
        encoded = [word.encode() if isinstance(word, str) else word for word in words]  # or fail here, alone
        command = _Command((name, *encoded), loop.create_future(), loop.time() + self._patience)
        self._waiting.append(command)
        if self._sender is None:
            self._sender = loop.create_task(self._send())
        return await command.reply

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    replies = await self._exchange(batch)
                except REDIS_GONE as error:
                    self._waiting[:0] = _in_time(batch, error)
                    await asyncio.sleep(PAUSE_BEFORE_REPEAT)
                except Exception as error:
                    for command in batch:
                        command.resolve(error)
                else:
                    for command, reply in zip(batch, replies, strict=True):
                        command.resolve(reply)
        finally:
            self._sender = None

    async def _exchange(self, batch: list[_Command]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in batch:
            pipeline.execute_command(*command.words)
        async with asyncio.timeout_at(batch[0].deadline):
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies


def _in_time(batch: list[_Command], error: Exception) -> list[_Command]:
    """The commands that may still be repeated; the others are answered with an error."""
    now = asyncio.get_running_loop().time()
    for command in batch:
        if command.deadline <= now + PAUSE_BEFORE_REPEAT:
            command.resolve(error)
    return [command for command in batch if not command.reply.done()]
