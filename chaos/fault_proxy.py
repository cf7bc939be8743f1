"""A TCP proxy before Redis that injects faults: cut connections, and scripts in which a command fails."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum

from chaos.failing_script import with_failing_command
from shared.store.scripts import Script

REPLY_SECONDS = 0.5  # the wait for a reply that is to be lost; BLPOP may take longer


class Cut(StrEnum):
    """The moment at which a command's connection is cut."""

    BEFORE = "before the command"
    AFTER = "after the command, its reply lost"
    WITHIN = "within the reply"


class FaultProxy:
    """Forwards bytes, counts commands, and cuts the connection at the command that `arm` chose.

    Attributes:
        fired: the name of the command at which the connection was cut; empty until then.
        break_script: the script to break at its next run, and the number of its command that fails; None
            once it ran.
    """

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self._links: set[ProxiedConnection] = set()
        self._server: asyncio.Server | None = None
        self._left, self._cut = 0, Cut.BEFORE
        self.fired = ""
        self.break_script: tuple[Script, int] | None = None

    async def start(self) -> int:
        """Listen on a free port of loopback; returns the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        self.drop()
        if self._server is not None:
            self._server.close()
        await asyncio.sleep(0)

    def arm(self, number: int, cut: Cut) -> None:
        """Cut at the `number`-th command from now on, counted over all connections; 0 cuts nothing."""
        self._left, self._cut, self.fired = number, cut, ""

    def drop(self) -> None:
        """Cut every connection now."""
        for link in list(self._links):
            link.close()

    def count(self, name: str) -> Cut | None:
        """Count a command; returns how to cut at it, or None."""
        self._left -= 1
        if self._left != 0:
            return None
        self.fired = name
        return self._cut

    def break_words(self, words: list[bytes]) -> list[bytes]:
        """Replace the script of `break_script` by its failing source; other commands stay as they are."""
        if self.break_script is None or words[0] not in (b"EVALSHA", b"EVAL"):
            return words
        script, number = self.break_script
        if words[1] not in (script.sha.encode(), script.source.encode()):
            return words
        self.break_script = None
        return [b"EVAL", with_failing_command(script, number).encode(), *words[2:]]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._redis_port)
        except OSError:
            writer.close()
            return
        link = ProxiedConnection(self, reader, writer, *upstream)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)
            link.close()


class ProxiedConnection:
    """The connection of a client, and its connection to Redis."""

    def __init__(
        self,
        proxy: FaultProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_redis: asyncio.StreamReader,
        to_redis: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._reader, self._writer = reader, writer
        self._from_redis, self._to_redis = from_redis, to_redis
        self._cut: Cut | None = None
        self._replied = asyncio.Event()

    async def run(self) -> None:
        down = asyncio.create_task(self._pass_replies())
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._pass_commands()
        down.cancel()
        with suppress(asyncio.CancelledError):
            await down

    def close(self) -> None:
        self._writer.close()
        self._to_redis.close()

    async def _pass_commands(self) -> None:
        while True:
            words = self._proxy.break_words(await read_command(self._reader))
            cut = self._proxy.count(b" ".join(words[:2]).decode("utf-8", "replace")[:24])
            if cut is Cut.BEFORE:
                return
            if cut is not None:
                self._cut = cut
            self._to_redis.write(b"".join(_packed(words)))
            await self._to_redis.drain()
            if cut is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._replied.wait(), REPLY_SECONDS)
                return

    async def _pass_replies(self) -> None:
        with suppress(OSError):
            while data := await self._from_redis.read(1 << 16):
                if self._cut is Cut.WITHIN:
                    self._writer.write(data[: len(data) // 2])
                    await self._writer.drain()
                if self._cut is not None:
                    self._replied.set()
                    return
                self._writer.write(data)
                await self._writer.drain()
        self.close()


async def read_command(reader: asyncio.StreamReader) -> list[bytes]:
    """The words of the next command, which clients send as an array of strings."""
    count = int((await _line(reader))[1:])
    words = []
    for _ in range(count):
        length = int((await _line(reader))[1:])
        words.append((await reader.readexactly(length + 2))[:-2])
    return words


async def _line(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n")


def _packed(words: list[bytes]) -> Iterator[bytes]:
    yield b"*%d\r\n" % len(words)
    for word in words:
        yield b"$%d\r\n%s\r\n" % (len(word), word)
