"""Child: a child process of the worker and the connection to it, for one call at a time."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from shared.errors import FinalError, RetryableError
from shared.logging import get_log
from worker.log_lines import MAX_LINE_BYTES, MAX_UNSENT_LINES
from worker.memory import resident_bytes
from worker.processes.plain_pickles import Packages
from worker.processes.protocol import (
    CALL,
    ERROR,
    HEADER,
    LARGEST_ERROR,
    NOTHING,
    PINNED,
    PROCESSES,
    READY,
    REPORT,
    RESULT,
    THREADS,
    CallReport,
    ProtocolError,
    read_reports,
    unpack,
)

START_SECONDS = 30.0
CRASH_SECONDS = 1.0  # for a process that has closed its connection to end as well
BUFFER_BYTES = 1 << 20
STDERR = 2
LARGEST_REPORT = 4 * MAX_UNSENT_LINES * MAX_LINE_BYTES
LARGEST = {REPORT: LARGEST_REPORT, ERROR: 2 * LARGEST_ERROR}  # bytes of a message, by its kind
MEMORY_HINT = "It was probably short of memory: submit less work per job, or give the worker more memory."
CRASH_HINT = "Look for a fault in what the function calls; the worker's standard error may hold a traceback."

LEFT_BEHIND = {THREADS: "threads", PROCESSES: "processes"}

log = get_log(__name__)


class Answers(asyncio.StreamReader):
    """The stream of a child's messages.

    Attributes:
        waiting: whether something has come that nobody has read.
    """

    _buffer: bytearray

    @property
    def waiting(self) -> bool:
        return bool(self._buffer)


class Child:
    """A child process and the connection to it.

    Attributes:
        process: the process; it leads a process group of its own.
        calls: how often it was called.
        killed: whether it was killed from here.
        spoiled: whether a call has left something behind that another call must not meet.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, reader: Answers, writer: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self.calls = 0
        self.killed = False
        self.spoiled = False
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(
        cls, lifeline: int, max_memory: int, environment: Mapping[str, str], *, pinned: bool = False
    ) -> "Child":
        """A process that is ready; one that is pinned runs at normal priority, and is to keep its state.

        Raises:
            OSError, EOFError, TimeoutError: it does not get there.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await _connect(ours)
            try:
                words = [str(number) for number in (theirs.fileno(), lifeline, max_memory)]
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-u", "-m", "worker.processes.child", *words, *[PINNED] * pinned),
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=STDERR,  # the worker's standard output is its log
                    pass_fds=[theirs.fileno(), lifeline],
                    start_new_session=True,
                )
            except BaseException:
                writer.transport.abort()
                raise
        child = cls(process, reader, writer)
        try:
            async with asyncio.timeout(START_SECONDS):
                await child._receive(READY)
        except BaseException:
            child.kill()
            await process.wait()
            raise
        return child

    @property
    def alive(self) -> bool:
        return not self.killed and self.process.returncode is None and not self._reader.at_eof()

    @property
    def speaks(self) -> bool:
        """Whether it has said something since its last call."""
        return self._reader.waiting

    def resident(self) -> int:
        """The process's resident memory in bytes; 0 on systems without /proc."""
        return resident_bytes(self.process.pid)

    def end(self) -> str:
        """The exit code or the signal that ended the process."""
        code = self.process.returncode
        if code is None or code >= 0:
            return f"exit code {code}"
        return signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"

    def kill(self) -> None:
        """End the process at once, with all that it has started."""
        self.killed = self.killed or self.process.returncode is None
        with suppress(ProcessLookupError, PermissionError):  # it has ended; on macOS: but was not waited for
            os.killpg(self.process.pid, signal.SIGKILL)
        self._writer.transport.abort()

    async def call(
        self, request: bytes, packages: Packages, on_message: Callable[[CallReport], None] | None
    ) -> Any:
        """Run the function of a request. An early end of any kind kills the process."""
        self.calls += 1
        answered = False
        try:
            await self._send(request)
            kind, body = await self._receive(REPORT, RESULT, ERROR)
            while kind == REPORT:
                reports = read_reports(body)
                if on_message is not None:
                    for report in reports:
                        on_message(report)
                kind, body = await self._receive(REPORT, RESULT, ERROR)
            answered = True
        except (EOFError, ConnectionError):
            raise await self._crash() from None
        except ProtocolError as error:
            raise RetryableError(
                f"The process that ran the job's function was ended: {error}",
                code="process_crashed",
                hint="Let the function write to no file descriptor that it has not opened.",
            ) from None
        finally:
            if not answered:
                self.kill()
        try:
            value = unpack(body, packages)
        except FinalError:
            self.kill()  # a file may have taken it over
            raise
        if kind == RESULT:
            return value
        raise value

    async def _send(self, request: bytes) -> None:
        if self._writer.is_closing():  # the process has just died; uvloop would raise RuntimeError
            raise ConnectionResetError
        self._writer.write(HEADER.pack(CALL, NOTHING, self.calls, os.getpid(), len(request)))
        self._writer.write(request)
        await self._writer.drain()

    async def _receive(self, *kinds: int) -> tuple[int, bytes]:
        """The next message of the call that runs. Raises ProtocolError, EOFError."""
        header = await self._reader.readexactly(HEADER.size)
        kind, left, number, pid, length = HEADER.unpack(header)
        if kind not in kinds or (number, pid) != (self.calls, self.process.pid):
            raise ProtocolError("it sent a message that does not belong to this call.")
        if length > LARGEST.get(kind, length):
            raise ProtocolError(f"it sent {length} bytes where {LARGEST[kind]} are allowed.")
        if left != NOTHING:
            self.spoiled = True
            log.warning(
                "a function left something behind; its process is replaced", left=LEFT_BEHIND.get(left)
            )
        return kind, await self._reader.readexactly(length)

    async def _crash(self) -> RetryableError:
        """The failure of a call whose process has died."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CRASH_SECONDS):
                await self.process.wait()
        self.kill()
        await self.process.wait()
        out_of_memory = self.process.returncode == -signal.SIGKILL
        return RetryableError(
            f"The process that ran the job's function died: {self.end()}.",
            code="process_crashed",
            hint=MEMORY_HINT if out_of_memory else CRASH_HINT,
        )


async def _connect(connection: socket.socket) -> tuple[Answers, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = Answers(limit=BUFFER_BYTES, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_unix_connection(lambda: protocol, sock=connection)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
