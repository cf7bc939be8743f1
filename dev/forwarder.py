"""A TCP forwarder before Redis: a stable address whose target and bandwidth can be changed."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from threading import Thread

CHUNK = 1 << 14
BUFFER = 1 << 16  # bytes; a larger kernel buffer would hide the slow link


class Forwarder:
    """Forwards bytes between its port on loopback and a server's, in its own thread.

    Attributes:
        port: the port of the forwarder.
        target: the port of the server for new connections; open connections keep their server.
        rate: bytes a second of all connections together, in each direction; 0: no limit.
        passed: the bytes forwarded so far.
    """

    def __init__(self, target: int = 0, *, rate: float = 0) -> None:
        self.target = target
        self.rate = rate
        self.passed = 0
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen()
        self.port: int = self._listening.getsockname()[1]
        self._free_at = {"up": 0.0, "down": 0.0}
        self._links: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = Thread(target=self._run, name="forwarder", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def close(self) -> None:
        """Cut every connection, and end the thread."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, sock=self._listening, limit=CHUNK)
        await self._end.wait()
        server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = self._loop.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target, limit=CHUNK)
            with contextlib.closing(to_server):
                ways = (
                    asyncio.create_task(self._pass("up", reader, to_server)),
                    asyncio.create_task(self._pass("down", from_server, writer)),
                )
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self.rate:
                now = self._loop.time()
                self._free_at[way] = max(self._free_at[way], now) + len(data) / self.rate
                await asyncio.sleep(self._free_at[way] - now)
            writer.write(data)
            await writer.drain()
            self.passed += len(data)


@contextlib.contextmanager
def forwarding(target: int = 0, *, rate: float = 0) -> Iterator[Forwarder]:
    """Run a forwarder within the block."""
    forwarder = Forwarder(target, rate=rate)
    try:
        yield forwarder
    finally:
        forwarder.close()
