"""Multiplexer: a connection to Redis that all callers of a process share."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from arq.connections import ArqRedis
from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError

from shared.metrics.series import Histogram
from shared.store.client import REDIS_GONE, Argument, tag_of_client
from shared.store.pipelined_connection import PipelinedConnection
from shared.store.refusals import Remedy, remedy_for
from shared.store.tags import tagged_command

PAUSE_BEFORE_REPEAT = 0.05  # seconds
GIVEN_UP = "The new connection to Redis is given up. {}"


class Multiplexer:
    """Sends the commands of concurrent callers over one connection, and gives each its reply.

    No caller waits for another's reply. A command goes out at once; while replies are awaited, the commands
    of one turn of the event loop go out in one write, so a busy process batches by itself. The redis-py
    client opens the connection, with names, passwords and TLS. Commands and replies then go past that client,
    which takes longer for a command than Redis does. That of a shard has a hash tag, which comes before the
    keys and channels of all commands.

    The timeout is one of silence: a slow link has time as long as bytes arrive, or bytes of a command leave.
    A command is also repeated after an error reply that a fail-over or a start of Redis brings (`refusals`).

    Args:
        redis: the client that knows how to connect.
        timeout: seconds of silence, while replies are awaited, after which the connection is given up.
        patience: seconds for which a command is repeated when its connection breaks; every script allows it.
        on_message: called with the channel and the data of each message, after a SUBSCRIBE.
        on_loss: called when the connection is lost.
        on_failover: called when a new connection is open after the server of the last one said that it is not
            the primary any more. The process's other connections may not hear that, and must be renewed.
        durations: observes the seconds from each call to its end.

    Attributes:
        openings: the number of connections opened so far.
    """

    def __init__(
        self,
        redis: ArqRedis,
        *,
        timeout: float = 0.75,
        patience: float = 1.5,
        on_message: Callable[[bytes, bytes], None] | None = None,
        on_loss: Callable[[], None] | None = None,
        on_failover: Callable[[], None] | None = None,
        durations: Histogram | None = None,
    ) -> None:
        self._redis = redis
        self._tag = tag = tag_of_client(redis)
        self._timeout = timeout
        self._patience = patience
        self._on_message = _untagged(on_message, tag) if on_message and tag else on_message
        self._on_loss = on_loss
        self._on_failover = on_failover
        self._durations = durations
        self._current: PipelinedConnection | None = None
        self._opening: asyncio.Task[PipelinedConnection] | None = None
        self._opened_at = float("-inf")
        self._outdated = False  # the last connection led to a server that is not the primary
        self.openings = 0

    async def execute_command(self, name: str, *words: Argument) -> Any:
        """The reply to one command.

        Raises:
            REDIS_GONE (one of them): Redis gave no answer in time, or refused the command.
        """
        command = self._pack(name, words)
        called = 0.0 if self._durations is None else time.perf_counter()
        now = asyncio.get_running_loop().time
        begun = now()
        end = begun + max(self._timeout, self._patience)
        repeated, refusal = False, None
        while True:
            current = self._current
            try:
                if current is None or current.lost:
                    async with asyncio.timeout_at(min(now() + self._timeout, end)):
                        current = await self._open()
                reply = await (current.ask_until(end, command) if repeated else current.ask(command))
            except REDIS_GONE as error:
                last = now() + PAUSE_BEFORE_REPEAT > begun + self._patience
                refusal = error if isinstance(error, ResponseError) else refusal
                if not self._repeats_after(error, current, begun=begun, last=last):
                    if self._durations is not None:
                        self._durations.observe(time.perf_counter() - called)
                    raise refusal or error from None  # a refusal says more than a timeout
            else:
                if self._durations is not None:
                    self._durations.observe(time.perf_counter() - called)
                return reply
            repeated = True
            await asyncio.sleep(PAUSE_BEFORE_REPEAT)

    def _pack(self, name: str, words: Sequence[Argument]) -> bytes:
        whole = tagged_command(self._tag, name, words) if self._tag else (name, *words)
        packed: bytes = pack_command(whole)  # type: ignore[arg-type]  # its stub knows no tuple of any length
        return packed

    def _repeats_after(
        self, error: Exception, current: "PipelinedConnection | None", *, begun: float, last: bool
    ) -> bool:
        """Whether to repeat a failed call. Gives up its connection first, if that is the remedy."""
        remedy = remedy_for(error)
        if remedy is Remedy.NONE:
            return False
        if current is not None and current is self._current:
            if remedy is Remedy.RECONNECT:
                self._outdated = True  # though the server may have hung up already, as on blocked clients
                current.lose(f"Redis said {str(error)[:100]!r}.")
            elif remedy is Remedy.WAIT and last and current.opened_at < begun:
                # This server could not serve all the time. Another one behind the same address may.
                current.lose(f"Redis said {str(error)[:100]!r}.")
        return not last

    @property
    def peer(self) -> tuple[str, int] | None:
        """The IP address and port of the server; None without an open connection."""
        return None if self._current is None or self._current.lost else self._current.peer

    def renew(self) -> None:
        """Give up the connection, which may lead to a former primary; the next command opens another one.

        A connection that opens meanwhile is given up too: its server may have been the primary when asked. A
        frozen one would hold up all callers until the connection's own timeout.
        """
        if self._opening is not None:
            self._opening.cancel()
        if self._current is not None:
            self._current.lose("The primary has changed.")

    def tell(self, name: str, *words: Argument) -> None:
        """Send a command without a use for its reply. Without a connection it is dropped."""
        if self._current is not None and not self._current.lost:
            with suppress(RedisConnectionError):
                reply = self._current.ask(self._pack(name, words))
                reply.cancel()  # else asyncio would report an error reply

    async def aclose(self) -> None:
        """Close the connection; the next command opens another one."""
        if self._opening is not None:
            self._opening.cancel()
        if self._current is not None:
            self._current.lose("It was closed.")

    async def _open(self) -> "PipelinedConnection":
        """Connect, once for all callers that wait meanwhile."""
        opening = self._opening
        if opening is None:
            opening = self._opening = asyncio.create_task(self._connect())
            opening.add_done_callback(self._opened)
        await asyncio.wait((opening,))
        if opening.cancelled():
            raise RedisConnectionError(GIVEN_UP.format("The primary has changed."))
        return opening.result()

    async def _connect(self) -> "PipelinedConnection":
        now = asyncio.get_running_loop().time
        await asyncio.sleep(self._opened_at + PAUSE_BEFORE_REPEAT - now())  # each may be refused at once
        self._opened_at = now()
        connection = self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
            await _refuse_replica(connection)
        except asyncio.CancelledError:
            connection._close()
            raise
        # Only redis-py has heard of the end of a connection that closes now; uvloop would raise at a write.
        if not connection.is_connected or connection._writer.transport.is_closing():
            connection._close()
            raise RedisConnectionError(GIVEN_UP.format("Redis has closed it."))
        self.openings += 1
        self._current = PipelinedConnection(connection, self._timeout, self._on_message, self._on_loss)
        if self._outdated:
            self._outdated = False
            if self._on_failover:
                self._on_failover()
        return self._current

    def _opened(self, opening: "asyncio.Task[PipelinedConnection]") -> None:
        if self._opening is opening:
            self._opening = None
        if not opening.cancelled():
            opening.exception()  # read, or asyncio logs it; callers that still wait get it too


def _untagged(on_message: Callable[[bytes, bytes], None], tag: str) -> Callable[[bytes, bytes], None]:
    return lambda channel, data: on_message(channel[len(tag) :], data)


async def _refuse_replica(connection: AbstractConnection) -> None:
    """Close a new connection if it leads to a replica, whose records may be old. Raises ReadOnlyError."""
    try:
        await connection.send_command("ROLE")
        role = await connection.read_response()
        if role[0] != b"slave":
            return
    except ResponseError:
        return  # this user lacks the right to ROLE
    connection._close()  # type: ignore[no-untyped-call]
    raise ReadOnlyError("This server is a replica; name the primary in REDIS_URL, or wait for the fail-over.")
