"""PipelinedConnection: an open connection to Redis on which commands wait for no replies before theirs."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hiredis import ProtocolError, Reader
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.store.tcp import acknowledged

LATE_SECONDS = 0.1  # a timer that is so late says that this process was paused, not that Redis was silent
UNFINISHED = object()
MESSAGES = (b"message", b"smessage")


class PipelinedConnection(asyncio.Protocol):
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
