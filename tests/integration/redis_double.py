"""Servers that speak Redis' protocol and answer as a test says: a primary, and Sentinels."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

from hiredis import Reader

from tests.integration.echo_server import until

Reply = str | bytes | int | list[Any] | Exception | None
Command = list[str]


class RedisDouble:
    """A server that answers each command with the reply of `answer`; an Exception is an error reply.

    Attributes:
        port: its port, while it listens.
        commands: all commands so far.
        hanging: whether it gives no replies any more.
        held: the commands whose replies, and all later ones, wait for `may_answer`.
        open: the number of open connections.
    """

    def __init__(self, answer: Callable[[Command], Reply]) -> None:
        self.answer = answer
        self.port = 0
        self.commands: list[Command] = []
        self.hanging = False
        self.held: set[str] = set()
        self.may_answer = asyncio.Event()
        self.open = 0
        self._writers: set[asyncio.StreamWriter] = set()

    def push(self, message: Reply) -> None:
        """Send a message to all connections."""
        for writer in self._writers:
            writer.write(encoded(message))

    def cut(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self._writers.add(writer)
        parser = Reader(encoding="utf-8")
        try:
            while data := await reader.read(1 << 16):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    self.commands.append(command)
                    if command[0] in self.held:
                        await self.may_answer.wait()
                    if not self.hanging:
                        writer.write(encoded(self.answer(command)))
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.close()


@asynccontextmanager
async def serving(
    answer: Callable[[Command], Reply], tls: SSLContext | None = None
) -> AsyncIterator[RedisDouble]:
    """A server within the block."""
    double = RedisDouble(answer)
    listening = await asyncio.start_server(double.serve, "127.0.0.1", 0, ssl=tls)
    double.port = listening.sockets[0].getsockname()[1]
    try:
        yield double
    finally:
        listening.close()
        double.may_answer.set()
        double.cut()
        await until(lambda: not double.open)


def encoded(reply: Reply) -> bytes:
    """A reply in Redis' protocol."""
    if reply is None:
        return b"*-1\r\n"
    if isinstance(reply, Exception):
        return b"-%s\r\n" % str(reply).encode()
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, list):
        return b"*%d\r\n%s" % (len(reply), b"".join(map(encoded, reply)))
    word = reply.encode() if isinstance(reply, str) else reply
    return b"$%d\r\n%s\r\n" % (len(word), word)


def replica(*, flags: str = "slave", link: str = "ok", role: str = "slave") -> list[Reply]:
    """A replica in a Sentinel's reply."""
    return ["name", "127.0.0.1:1", "flags", flags, "master-link-status", link, "role-reported", role]


class ServiceDouble:
    """A primary and its replicas, as the servers and the Sentinels tell of them.

    Attributes:
        primary: the port that the Sentinels name; 0 if they do not know the service.
        replicas: those in the view of the Sentinels.
        confirming: the replicas that confirm writes to a server.
        errors: in place of the next replies to a WAIT.
        password: the one that the Sentinels ask for; empty for none.
    """

    def __init__(self) -> None:
        self.primary = 0
        self.replicas: list[Reply] = [replica(), replica()]
        self.confirming = 2
        self.errors: list[Exception] = []
        self.password = ""
        self._authenticated = False

    def answer_of_server(self, command: Command) -> Reply:
        match command[0]:
            case "ROLE":
                return ["master", 0, []]
            case "WAIT":
                return self.errors.pop(0) if self.errors else self.confirming
            case "EVALSHA":
                return ["done", []]
            case "PING":
                return "PONG"
        return "OK"

    def answer_of_sentinel(self, command: Command) -> Reply:
        match command:
            case ["AUTH", *words]:
                self._authenticated = words[-1] == self.password
                return "OK" if self._authenticated else Exception("WRONGPASS invalid username-password pair")
            case ["SENTINEL", *_] if self.password and not self._authenticated:
                return Exception("NOAUTH Authentication required.")
            case ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "jobs"]:
                return ["127.0.0.1", str(self.primary)] if self.primary else None
            case ["SENTINEL", "REPLICAS", "jobs"]:
                return self.replicas
            case ["SUBSCRIBE", channel]:
                return ["subscribe", channel, 1]
            case ["PING"]:
                return ["pong", ""]
        return "OK"
