"""One connection to Redis that all callers of a process share."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from arq.connections import ArqRedis
from hiredis import ProtocolError, Reader, pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from shared.store.client import REDIS_GONE, Argument

PAUSE_BEFORE_REPEAT = 0.05  # seconds
UNFINISHED = object()


class Multiplexer:
    """Sends the commands of concurrent callers over one connection, and each its reply back.

    Nobody waits for another's reply. A command goes out at once; while replies are awaited, what is asked
    in one turn of the event loop goes out in one write: a busy process groups by itself. The redis-py client
    opens the connection, and so knows of names, passwords and TLS; what is said on it goes past that client,
    which takes longer for a command than Redis does.

    Args:
        redis: the client that knows how to connect.
        timeout: seconds after which a reply that has not come is given up, and the connection with it.
        patience: seconds for which a command is repeated whose connection breaks; every script allows it.
        on_message: called with the channel and the data of each message, after a SUBSCRIBE.
        on_loss: called when the connection is lost.
    """

    def __init__(
        self,
        redis: ArqRedis,
        *,
        timeout: float = 0.75,
        patience: float = 1.5,
        on_message: Callable[[bytes, bytes], None] | None = None,
        on_loss: Callable[[], None] | None = None,
    ) -> None:
        self._redis = redis
        self._timeout = timeout
        self._patience = patience
        self._on_message = on_message
        self._on_loss = on_loss
        self._wire: _Wire | None = None
        self._opening: asyncio.Task[_Wire] | None = None

    async def execute_command(self, name: str, *words: Argument) -> Any:
        """The reply to one command.

        Raises:
            one of REDIS_GONE: Redis gave no answer in time, or refused the command.
        """
        command = pack_command((name, *words))  # type: ignore[arg-type]  # its stub knows no tuple of any length
        now = asyncio.get_running_loop().time
        begun = now()
        while True:
            wire = self._wire
            try:
                end = min(now() + self._timeout, begun + max(self._timeout, self._patience))
                async with asyncio.timeout_at(end):
                    if wire is None or wire.lost:
                        wire = await self._open()
                    return await wire.ask(command)
            except ResponseError:
                raise  # Redis has answered
            except REDIS_GONE:
                if wire is not None:
                    wire.lose("It did not answer in time.")
                if now() + PAUSE_BEFORE_REPEAT > begun + self._patience:
                    raise
            await asyncio.sleep(PAUSE_BEFORE_REPEAT)

    def tell(self, name: str, *words: Argument) -> None:
        """Send a command whose reply nobody needs; it is dropped while there is no connection."""
        if self._wire is not None and not self._wire.lost:
            reply = self._wire.ask(pack_command((name, *words)))  # type: ignore[arg-type]
            reply.cancel()  # else an error that comes in its place would be reported

    async def aclose(self) -> None:
        """Close the connection; the next command opens another one."""
        if self._opening is not None:
            self._opening.cancel()
        if self._wire is not None:
            self._wire.lose("It was closed.")

    async def _open(self) -> "_Wire":
        """Connect, once for all who ask meanwhile."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    async def _connect(self) -> "_Wire":
        connection = self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()
        self._wire = _Wire(connection, self._on_message, self._on_loss)
        return self._wire

    def _opened(self, opening: "asyncio.Task[_Wire]") -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # whoever still waits for it has it as well


class _Wire(asyncio.Protocol):
    """An open connection: replies come in the order of the commands."""

    def __init__(
        self,
        connection: AbstractConnection,
        on_message: Callable[[bytes, bytes], None] | None,
        on_loss: Callable[[], None] | None,
    ) -> None:
        self.lost = False
        self._on_message = on_message
        self._on_loss = on_loss
        self._connection = connection
        self._reader = Reader(replyError=connection._parser.parse_error, notEnoughData=UNFINISHED)
        self._commands: list[bytes] = []
        self._replies: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        assert connection._writer is not None  # noqa: S101  # it is connected
        self._transport = connection._writer.transport
        self._transport.set_protocol(self)

    def ask(self, command: bytes) -> "asyncio.Future[Any]":
        reply = self._loop.create_future()
        if not self._replies:
            self._transport.write(command)  # now, so that Redis works while this process goes on
        else:
            if not self._commands:
                self._loop.call_soon(self._send)
            self._commands.append(command)
        self._replies.append(reply)
        return reply

    def lose(self, reason: str) -> None:
        """Close the connection; whoever waits for a reply gets an error."""
        if self.lost:
            return
        self.lost = True
        self._connection._close()  # type: ignore[no-untyped-call]
        replies, self._replies = self._replies, deque()
        for reply in replies:
            if not reply.done():
                reply.set_exception(RedisConnectionError(f"The connection to Redis is lost. {reason}"))
        if self._on_loss:
            self._on_loss()

    def _send(self) -> None:
        commands, self._commands = self._commands, []
        if not self.lost:
            self._transport.write(b"".join(commands))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not UNFINISHED:
                if self._on_message and type(answer) is list and answer[0] == b"message":
                    self._on_message(answer[1], answer[2])
                    continue
                reply = self._replies.popleft()
                if reply.done():  # the caller has gone
                    continue
                if isinstance(answer, Exception):
                    reply.set_exception(answer)
                else:
                    reply.set_result(answer)
        except (ProtocolError, IndexError) as error:
            self.lose(f"What it says is not the protocol: {error!r}.")

    def connection_lost(self, error: Exception | None) -> None:
        self.lose(repr(error) if error else "It was closed by Redis.")
