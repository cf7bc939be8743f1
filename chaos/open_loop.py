"""Requests to the API at times fixed by a clock: a service that answers late gets no fewer of them."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from threading import Event, Thread
from types import TracebackType
from typing import Self

ANSWER_SECONDS = 10.0
END_SECONDS = 60.0  # for the last answers


class Connections:
    """HTTP connections to one port; a request takes an idle one, or opens another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def request(self, method: str, path: str, body: bytes = b"", *, key: str = "") -> tuple[int, bytes]:
        """Status and body of the answer; status 0 without one in ANSWER_SECONDS.

        Args:
            key: the request's Idempotency-Key; empty without one.
        """
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += ["Content-Type: application/json"] if body else []
        lines += [f"Idempotency-Key: {key}"] if key else []
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._exchange("\r\n".join([*lines, "", ""]).encode() + body)
        except (OSError, EOFError, TimeoutError):
            return 0, b""

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        reader, writer = self._take() or await asyncio.open_connection("127.0.0.1", self._port)
        answered = False
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            answered = True
        finally:
            if answered:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return int(head[9:12]), body

    def _take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None


class OpenLoop:
    """Requests at a fixed rate within a `with` block, each at its time whatever became of those before it.

    The end of the block waits for the last requests.

    Args:
        port: the API's.
        rate: requests a second.
        send: sends one request; called with the connections, the number of the request, from 0, and its time
            by the clock, in `time.time()`.
    """

    def __init__(
        self, port: int, rate: float, send: Callable[[Connections, int, float], Coroutine[None, None, None]]
    ) -> None:
        self._port = port
        self._rate = rate
        self._send = send
        self._end = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no further requests, and wait for the last answers. Raises the first error of `send`."""
        self._end.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._follow_clock())
        except BaseException as error:  # for the thread of the scenario
            self._error = error

    async def _follow_clock(self) -> None:
        connections, begin = Connections(self._port), time.time()
        number = 0
        try:
            async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as requests:
                while not self._end.is_set():
                    due = begin + number / self._rate
                    await asyncio.sleep(max(0.0, due - time.time()))
                    requests.create_task(self._send(connections, number, due))
                    number += 1
                limit.reschedule(asyncio.get_running_loop().time() + END_SECONDS)
        except TimeoutError:
            pass  # requests without an answer show it
        finally:
            connections.close()
