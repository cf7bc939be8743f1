"""Hostile clients, in their own process: `python -m chaos.attackers ATTACK PORT KEY COUNT`.

The process runs until it is killed, at a low priority: real attackers take no processor time of the server.
"""

import asyncio
import itertools
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

HOST = b"Host: localhost\r\n"
NOISE = b"a" * 65_536
FILE = b"POST /files HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"
ENDLESS: list[tuple[bytes, bytes]] = [
    (b"GET /", NOISE),
    (b"GET / HTTP/1.1\r\n" + HOST + b"x: ", NOISE),
    (b"GET / HTTP/1.1\r\n" + HOST, b"x: a\r\n" * 10_000),
    (FILE + b"\r\n1\r\na\r\n1;", NOISE),
    (FILE + b"\r\n0\r\n", b"x: a\r\n" * 10_000),
    (FILE + b"\r\n1\r\na\r\n", b"0" * 65_536),
]
PAUSE = 0.05
DRIP_SECONDS = 1.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Attacker:
    """The attacks on an API's port with an API key, one method each."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = f"X-API-Key: {key}\r\n".encode()
        self._numbers = itertools.count()

    async def heads(self) -> None:
        """Send heads, trailers and chunk sizes without end."""
        start, more = ENDLESS[next(self._numbers) % len(ENDLESS)]
        _, writer = await self._connect()
        start = start.replace(HOST, HOST + self._key, 1)
        writer.write(start)
        while not writer.is_closing():
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(PAUSE)

    async def uploads(self) -> None:
        """Send a large upload: 2 MB at once, then 1 kB a second."""
        _, writer = await self._connect()
        writer.write(b"POST /files HTTP/1.1\r\n" + HOST + self._key + b"Content-Length: 1000000000\r\n\r\n")
        writer.write(bytes(2_000_000))
        while not writer.is_closing():
            writer.write(bytes(100))
            await writer.drain()
            await asyncio.sleep(DRIP_SECONDS / 10)

    async def drips(self) -> None:
        """Send a head, one byte a second."""
        _, writer = await self._connect()
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        while not writer.is_closing():
            await writer.drain()
            await asyncio.sleep(DRIP_SECONDS)
            writer.write(b"a")

    async def lists(self) -> None:
        """Read pages of large records, one after the other."""
        reader, writer = await self._connect()
        for path in (b"/jobs?limit=100", b"/jobs?limit=100&fields=params,result"):
            writer.write(b"GET " + path + b" HTTP/1.1\r\n" + HOST + self._key + b"Connection: close\r\n\r\n")
            await writer.drain()
            while await reader.read(1 << 20):
                pass
            reader, writer = await self._connect()

    async def _connect(self) -> Connection:
        return await asyncio.open_connection("127.0.0.1", self._port)


async def repeat(attack: Callable[[], Awaitable[None]]) -> None:
    while True:
        with suppress(OSError):
            await attack()
        await asyncio.sleep(PAUSE)


async def main(name: str, port: str, key: str, count: str) -> None:
    attack = getattr(Attacker(int(port), key), name)
    await asyncio.gather(*(repeat(attack) for _ in range(int(count))))


if __name__ == "__main__":
    os.nice(19)
    asyncio.run(main(*sys.argv[1:]))
