"""An echo server that speaks Redis' protocol, for tests of the multiplexer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hiredis import Reader, pack_command

from dev.stack import PATIENCE


class EchoServer:
    """A server that answers each command with its words, waits or breaks on demand, and keeps its reads."""

    def __init__(self) -> None:
        self.reads: list[list[list[bytes]]] = []
        self.port = 0
        self.connections = 0
        self.open = 0
        self.breaks = 0  # connections to cut at their next commands
        self.errors: list[bytes] = []  # in place of the next replies
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.may_greet = asyncio.Event()
        self.may_greet.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        parser = Reader()
        try:
            while data := await reader.read(1 << 16):
                parser.feed(data)
                commands = []
                while (command := parser.gets()) is not False:
                    commands.append(command)
                await self.answer(commands, writer)
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()

    async def answer(self, commands: list[list[bytes]], writer: asyncio.StreamWriter) -> None:
        greetings = {b"PING": b"+PONG\r\n", b"CLIENT": b"+OK\r\n", b"ROLE": b"-ERR no\r\n"}
        mine = [command for command in commands if command[0] not in greetings]
        if mine:
            self.reads.append(mine)
            if self.breaks:
                self.breaks -= 1
                raise ConnectionError
            await self.may_answer.wait()
        for command in commands:
            if command[0] in greetings:
                await self.may_greet.wait()
                writer.write(greetings[command[0]])
            elif self.errors:
                writer.write(b"-%s\r\n" % self.errors.pop(0))
            else:
                writer.write(b"-ERR no\r\n" if command[0] == b"BAD" else pack_command(tuple(command)))


@asynccontextmanager
async def echo_serving() -> AsyncIterator[EchoServer]:
    """An echo server within the block."""
    server = EchoServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.may_answer.set()
        server.may_greet.set()
        await until(lambda: not server.open)
        listening.close()


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)
