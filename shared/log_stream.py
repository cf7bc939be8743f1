"""The stream of log lines. A process goes on when its output can't be written."""

import io
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from select import PIPE_BUF, POLLOUT, poll
from threading import RLock
from typing import IO, TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

WAIT_SECONDS = 1.0  # the event loop stands still meanwhile
WAIT_SHARE = 0.5  # of the time that goes by; waits for a slow reader take no more of it in the long run
STDERR = 2

Send = Callable[[bytes], int]
"""Sends the bytes that the descriptor takes at once, and returns their number.

Raises:
    BlockingIOError: it takes none now.
    OSError: it takes none.
"""


class LogStream:
    """Writes log lines to a file descriptor, each at once. A line that can't be written is dropped.

    1. The stream waits for a full pipe, but not for long: see `WAIT_SECONDS`. The lines after that are
       dropped without a wait, until there is room again.
    2. Dropped lines are counted. A line with their number goes out before the next line.
    3. The rest of a partly written line goes out first, so that no reader gets half a line.

    Args:
        descriptor: of a file, a pipe, a socket or a terminal; None if it is closed: every line is dropped.
        notice: renders the line with the number of dropped lines.
    """

    def __init__(self, descriptor: int | None, notice: Callable[[int], bytes]) -> None:
        self._send = _sender(descriptor)
        self._notice = notice
        self._lock = RLock()  # re-entrant: the garbage collector may call a finalizer that logs
        self._failing = False
        self._rest = b""
        self._dropped = 0
        self._descriptor = descriptor
        self._patience = WAIT_SECONDS
        self._waited_at = time.monotonic()

    def write(self, line: bytes) -> None:
        """Write a line, which ends in a newline, or drop it. Never raises."""
        with self._lock:
            if self._failing:
                self._resume(line)
                return
            try:
                rest = line[self._send(line) :]
            except OSError:
                rest = line
            if rest:
                self._note(line, self._push(rest, wait=True))

    def _resume(self, line: bytes) -> None:
        """Write a line after a line that the descriptor did not take whole."""
        self._rest = self._push(self._rest, wait=False)
        if self._rest:
            self._dropped += 1
        else:
            data = self._notice(self._dropped) + line if self._dropped else line
            self._note(data, self._push(data, wait=False))

    def _note(self, data: bytes, rest: bytes) -> None:
        """Note how much of the data the descriptor did not take."""
        self._failing = bool(rest)
        if len(rest) < len(data):
            self._rest = rest
            self._dropped = 0
        else:
            self._dropped += 1

    def _push(self, data: bytes, *, wait: bool) -> bytes:
        """Send data; returns what the descriptor did not take."""
        while data:
            try:
                data = data[self._send(data) :]
            except BlockingIOError:
                if not (wait and self._wait()):
                    break
            except OSError:
                break
        return data

    def _wait(self) -> bool:
        """Wait for room in the descriptor, as long as the patience lasts; returns whether there is room."""
        begin = time.monotonic()
        self._patience = min(WAIT_SECONDS, self._patience + (begin - self._waited_at) * WAIT_SHARE)
        if self._patience <= 0 or self._descriptor is None:
            return False
        room = poll()  # a new one: a signal handler that logs may wait within this wait
        room.register(self._descriptor, POLLOUT)
        ready = bool(room.poll(self._patience * 1000))
        self._waited_at = time.monotonic()
        self._patience -= self._waited_at - begin
        return ready


class PrintedOutput(io.RawIOBase):
    """The raw stream under `sys.stdout` or `sys.stderr`: printed text is written as log lines are."""

    def __init__(self, descriptor: int, stream: LogStream) -> None:
        self._descriptor = descriptor
        self._stream = stream

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer") -> int:
        text = bytes(data)
        self._stream.write(text)
        return len(text)


def occupy_standard_descriptors() -> None:
    """Open the null device for standard input, output and error where they are closed.

    Else the next socket would take their number, and what a child process prints would go to Redis.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def printing_to(stream: LogStream, file: TextIO | None) -> TextIO | None:
    """A file for `sys.stdout` or `sys.stderr` that writes to the stream: a `print` neither fails nor hangs.

    Nothing is left in a buffer for the interpreter's end either, which would change the exit code.
    """
    descriptor = descriptor_of(file)
    if file is None or descriptor is None:
        return file
    with suppress(OSError):
        file.flush()
    raw = cast(IO[bytes], PrintedOutput(descriptor, stream))
    return io.TextIOWrapper(raw, file.encoding, "backslashreplace", line_buffering=True)


def descriptor_of(file: TextIO | None) -> int | None:
    """The descriptor of standard output or standard error; None if it was closed before the process began."""
    try:
        return file.fileno() if file is not None else None
    except (OSError, ValueError):
        return None


def _sender(descriptor: int | None) -> Send:
    """The function that sends to a descriptor without a wait.

    The descriptor itself is not made non-blocking: other processes share it.
    """
    if descriptor is None:
        return _send_nowhere
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return partial(os.write, descriptor)
    own_descriptor = _reopened(descriptor)
    return _polled_sender(descriptor) if own_descriptor is None else partial(os.write, own_descriptor)


def _reopened(descriptor: int) -> int | None:
    """A non-blocking descriptor of the same pipe or terminal; None of a socket, or if there is no reader."""
    with suppress(OSError):
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    return None


def _polled_sender(descriptor: int) -> Send:
    """A sender that looks for room first. A pipe or socket that is ready has room for PIPE_BUF bytes."""
    room = poll()
    room.register(descriptor, POLLOUT)

    def send(data: bytes) -> int:
        if not room.poll(0):
            raise BlockingIOError
        return os.write(descriptor, data[:PIPE_BUF])

    return send


def _send_nowhere(data: bytes) -> int:
    raise BrokenPipeError
