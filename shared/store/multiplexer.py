"""Multiplexer: a connection to Redis that all callers of a process share."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from arq.connections import ArqRedis
from hiredis import ProtocolError, Reader, pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError

from shared.metrics.series import Histogram
from shared.store.client import REDIS_GONE, Argument, tag_of_client
from shared.store.refusals import Remedy, remedy_for
from shared.store.tags import tagged_command
from shared.store.tcp import acknowledged

PAUSE_BEFORE_REPEAT = 0.05  # seconds
LATE_SECONDS = 0.1  # a timer that is so late says that this process was paused, not that Redis was silent
UNFINISHED = object()
MESSAGES = (b"message", b"smessage")


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
        self._current: _OpenConnection | None = None
        self._opening: asyncio.Task[_OpenConnection] | None = None
        self._opened_at = float("-inf")
        self._outdated = False  # the last connection led to a server that is not the primary
        self._renewals = 0
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
        self, error: Exception, current: "_OpenConnection | None", *, begun: float, last: bool
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

        A connection that opens meanwhile is given up too: its server may have been the primary when asked.
        """
        self._renewals += 1
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

    async def _open(self) -> "_OpenConnection":
        """Connect, once for all callers that wait meanwhile."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    async def _connect(self) -> "_OpenConnection":
        now = asyncio.get_running_loop().time
        await asyncio.sleep(self._opened_at + PAUSE_BEFORE_REPEAT - now())  # each may be refused at once
        self._opened_at, renewals = now(), self._renewals
        connection = self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()
        await _refuse_replica(connection)
        # Only redis-py has heard of the end of a connection that closes now; uvloop would raise at a write.
        closed = not connection.is_connected or connection._writer.transport.is_closing()
        if closed or renewals != self._renewals:
            connection._close()
            reason = "Redis has closed it." if closed else "The primary has changed."
            raise RedisConnectionError(f"The new connection to Redis is given up. {reason}")
        self.openings += 1
        self._current = _OpenConnection(connection, self._timeout, self._on_message, self._on_loss)
        if self._outdated:
            self._outdated = False
            if self._on_failover:
                self._on_failover()
        return self._current

    def _opened(self, opening: "asyncio.Task[_OpenConnection]") -> None:
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


class _OpenConnection(asyncio.Protocol):
    """An open connection: replies come in the order of the commands.

    Silence is judged by a timer that runs only while replies are awaited, never for each call.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        timeout: float,
        on_message: Callable[[bytes, bytes], None] | None,
        on_loss: Callable[[], None] | None,
    ) -> None:
        self.lost = False
        self._timeout = timeout
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
        self._socket = self._transport.get_extra_info("socket")
        self._acknowledged_before = acknowledged(self._socket)
        self.opened_at = self._moved_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._written = 0  # bytes of all commands
        self._awaited = 0  # of them, the bytes that must leave before the next reply can come
        self._left = -1  # of them, the bytes that had left at the last look of a silence; else -1
        self._paused_at = -1.0  # the value of `_moved_at` at which a timer was late

    def ask(self, command: bytes) -> "asyncio.Future[Any]":
        reply = self._loop.create_future()
        self._written += len(command)
        if not self._replies:
            self._write(command)  # now, so that Redis works while this process goes on
            self._moved_at = self._loop.time()
            self._awaited = self._written
            if self._timer is None:
                self._look_at(self._moved_at + self._timeout)
        else:
            if not self._commands:
                self._loop.call_soon(self._send)
            self._commands.append(command)
        self._replies.append(reply)
        return reply

    @property
    def peer(self) -> tuple[str, int] | None:
        found = self._transport.get_extra_info("peername")
        return (found[0], found[1]) if isinstance(found, tuple) else None  # a path of a socket

    def _write(self, commands: bytes) -> None:
        """Write to the connection. Raises RedisConnectionError if it is closed, and this is not yet told."""
        try:
            self._transport.write(commands)
        except RuntimeError as error:  # of uvloop, whose call of `connection_lost` comes in the next turn
            self.lose("It was closed by Redis.")
            raise RedisConnectionError("The connection to Redis is lost. It was closed by Redis.") from error

    async def ask_until(self, end: float, command: bytes) -> Any:
        """Wait for the reply until `end`, or longer while its bytes arrive. Raises TimeoutError."""
        reply = self.ask(command)
        asked_at = self._loop.time()
        try:
            await asyncio.wait((reply,), timeout=end - asked_at)
            if not reply.done() and self._moved_at <= asked_at:
                raise TimeoutError("Redis does not answer.")
            return await reply
        finally:
            reply.cancel()  # no effect on a reply that has come

    def lose(self, reason: str, kind: type[Exception] = RedisConnectionError) -> None:
        """Close the connection; callers that wait for a reply get an error."""
        if self.lost:
            return
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._connection._close()  # type: ignore[no-untyped-call]
        replies, self._replies = self._replies, deque()
        for reply in replies:
            if not reply.done():
                reply.set_exception(kind(f"The connection to Redis is lost. {reason}"))
        if self._on_loss:
            self._on_loss()

    def _send(self) -> None:
        commands, self._commands = self._commands, []
        if not self.lost:
            with suppress(RedisConnectionError):  # the callers have got the error
                self._write(b"".join(commands))

    def _look_at(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self._look, when)

    def _look(self, planned: float) -> None:
        """Give up the connection if a reply is due and no byte has moved for the timeout."""
        self._timer = None
        if not self._replies:
            return
        now = self._loop.time()
        if now < self._moved_at + self._timeout:
            self._left = -1
            self._look_at(self._moved_at + self._timeout)
        elif now > planned + LATE_SECONDS and self._paused_at != self._moved_at:
            self._paused_at = self._moved_at
            self._look_at(now + LATE_SECONDS / 2)  # the replies may have come, and wait unread
        elif self._still_leaving(now):
            self._look_at(self._moved_at + self._timeout)
        else:
            self.lose("Redis is silent.", TimeoutError)

    def _still_leaving(self, now: float) -> bool:
        """Whether bytes that the next reply needs have left since the last look.

        Later bytes do not count: the kernel of a frozen Redis takes them too. The first look of a silence has
        nothing to compare with, so another look follows soon.
        """
        before, self._left = self._left, min(self._count_left(), self._awaited)
        if before < 0 and self._left < self._awaited:
            self._moved_at = now - 0.75 * self._timeout
            return True
        if 0 <= before < self._left:
            self._moved_at = now
            return True
        return False

    def _count_left(self) -> int:
        """Bytes that the other side has, with TLS a few more; without that account, bytes in the kernel."""
        count = acknowledged(self._socket)
        if count is None or self._acknowledged_before is None:
            return self._written - self._transport.get_write_buffer_size()
        return count - self._acknowledged_before

    def data_received(self, data: bytes) -> None:
        self._moved_at = self._loop.time()
        self._awaited = self._written
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not UNFINISHED:
                if self._on_message and type(answer) is list and answer[0] in MESSAGES:
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
            self.lose(f"Its replies break the protocol: {error!r}.")

    def connection_lost(self, error: Exception | None) -> None:
        self.lose(repr(error) if error else "It was closed by Redis.")
