"""A child process of the worker: it runs one function after another, and dies with the worker.

A function that runs here reports by `progress` and `log`. Until the first call nothing is imported but
the standard library, so that a process which waits costs little.
"""

import _signal  # type: ignore[import-not-found]  # as `signal` has it, without the enumerations
import _thread
import faulthandler
import fcntl
import os
import pickle
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from contextvars import copy_context
from itertools import pairwise
from queue import SimpleQueue
from threading import Lock, Thread, Timer
from typing import TYPE_CHECKING

from worker import reporting
from worker.processes.errors import pickled_error
from worker.processes.protocol import (
    ERROR,
    HEADER,
    NOTHING,
    PINNED,
    PROCESSES,
    READY,
    REPORT,
    RESULT,
    THREADS,
    unpicklable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.log_lines import Line, LogBuffer

REPORT_SECONDS = 0.05
END_SECONDS = 0.2  # for threads and processes of a call that are about to end
LOOK_SECONDS = 0.005
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
FORK_EXIT = 70
MAX_DESCRIPTORS = 1 << 16
LARGEST_FILE = 64 << 30  # bytes that a function may write into one
OPEN_FILES = 4096
NICENESS = 10


class Connection:
    """The way to the worker and back."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)
        self._sending = Lock()
        self._pid = os.getpid()
        self.requests: SimpleQueue[tuple[int, bytes]] = SimpleQueue()

    def send(self, kind: int, number: int, body: bytes, *, left: int = NOTHING) -> None:
        with self._sending:
            self._socket.sendall(HEADER.pack(kind, left, number, self._pid, len(body)))
            self._socket.sendall(body)

    def listen(self) -> None:
        """Take in requests until the worker is gone; then end, with whatever the function has started."""
        stream = self._socket.makefile("rb")
        while header := stream.read(HEADER.size):
            _, _, number, _, length = HEADER.unpack(header)
            self.requests.put((number, stream.read(length)))
        os.kill(0, signal.SIGKILL)  # the whole process group, which is this process's own


class PendingReports:
    """Reports to one job that were not sent yet."""

    def __init__(self) -> None:
        self.progress: tuple[float, str] | None = None
        self.lines: LogBuffer | None = None
        self.output: list[bytes] = []

    def take(self) -> tuple[tuple[float, str] | None, "list[Line]", list[bytes]]:
        return self.progress, self.lines.take() if self.lines else [], self.output


class Call:
    """A call that runs, and its reports: sent at once, or together with those that follow soon.

    Attributes:
        pid: the process that it runs in; a fork of that process must not report.
        traces: the trace headers of each of its jobs; None if none of them has any.
    """

    def __init__(self, connection: Connection, number: int) -> None:
        self.pid = os.getpid()
        self.traces: Sequence[dict[str, str]] | None = None
        self._connection = connection
        self._number = number
        self._lock = Lock()
        self._pending: dict[int | None, PendingReports] = {}
        self._sent_at = -REPORT_SECONDS
        self._timer: Timer | None = None
        self._over = False

    def progress(self, index: int | None, fraction: float, message: str) -> None:
        with self._lock:
            self._pending_of(index).progress = (fraction, message)
            self._send_soon()

    def log(self, index: int | None, message: str, fields: dict[str, object]) -> None:
        from worker.log_lines import LogBuffer, line_of

        line = line_of(message, fields)
        with self._lock:
            pending = self._pending_of(index)
            pending.lines = pending.lines or LogBuffer()
            pending.lines.add([line])
            self._send_soon()

    def emit(self, index: int, chunk: object) -> None:
        import orjson

        body = orjson.dumps(chunk)
        with self._lock:
            self._pending_of(index).output.append(body)
            self._send_soon()

    def end(self) -> None:
        """Send the last reports; those of a thread that was left behind are dropped from now on."""
        with self._lock:
            timer, self._over = self._timer, True
            self._send()
        if timer is not None:
            timer.cancel()
            timer.join()

    def _pending_of(self, index: int | None) -> PendingReports:
        return self._pending.setdefault(index, PendingReports())

    def _send_soon(self) -> None:
        if self._over or self._timer is not None:
            return
        pause = self._sent_at + REPORT_SECONDS - time.monotonic()
        if pause <= 0:
            self._send()
        else:
            self._timer = Timer(pause, self._send_late)
            self._timer.daemon = True
            self._timer.start()

    def _send_late(self) -> None:
        with self._lock:
            if not self._over:
                self._send()

    def _send(self) -> None:
        if self._pending:
            reports = [(index, *pending.take()) for index, pending in self._pending.items()]
            self._connection.send(REPORT, self._number, pickle.dumps(reports))
            self._sent_at = time.monotonic()
        self._pending, self._timer = {}, None


class Surroundings:
    """State of the process that a function may change, apart from memory: restored after each call."""

    def __init__(self) -> None:
        self._folder = os.getcwd()  # noqa: PTH109  # pathlib is slow to load
        self._environment = dict(os.environ)
        self._raw_environment = dict(
            vars(os.environ)["_data"]
        )  # to compare with: reading it decodes each value
        os.umask(umask := os.umask(0))
        self._umask = umask
        self._handlers = {int(number): _signal.getsignal(number) for number in signal.valid_signals()}
        self._threads = _thread._count()

    def restore(self) -> None:
        os.chdir(self._folder)
        os.umask(self._umask)
        for timer in TIMERS:
            signal.setitimer(timer, 0)
        if vars(os.environ)["_data"] != self._raw_environment:
            os.environ.clear()
            os.environ.update(self._environment)
        for number, handler in self._handlers.items():
            if handler is not None and _signal.getsignal(number) != handler:
                signal.signal(number, handler)

    def left_behind(self) -> int:
        """Threads or processes that the call has left running, once those about to end have ended."""
        end = time.monotonic() + END_SECONDS
        while (left := self._look()) and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        return left

    def _look(self) -> int:
        if _thread._count() > self._threads:  # Python's; those of C libraries report nothing
            return THREADS
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            return PROCESSES
        return NOTHING


def main() -> None:
    pinned = sys.argv[4:] == [PINNED]
    if not pinned:
        yield_to_others()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the worker, which lets running jobs finish
    faulthandler.enable()
    set_limits(int(sys.argv[3]))
    descriptor, lifeline = int(sys.argv[1]), hold_on_to(int(sys.argv[2]))
    for lower, upper in pairwise(sorted((2, descriptor, lifeline, MAX_DESCRIPTORS))):
        os.closerange(lower + 1, upper)  # an inherited descriptor would stay open for others
    connection = Connection(descriptor)
    Thread(target=connection.listen, daemon=True).start()
    surroundings = None if pinned else Surroundings()  # a model keeps what it has made of its process
    connection.send(READY, 0, b"")
    while True:
        number, request = connection.requests.get()
        reporting.current_call = call = Call(connection, number)
        kind, body = copy_context().run(answer, request, call)
        if os.getpid() != call.pid:
            os._exit(FORK_EXIT)  # a fork that came back from the function: the answer is not its to give
        reporting.current_call = None
        call.end()
        left = NOTHING
        if surroundings is not None:
            surroundings.restore()
            left = surroundings.left_behind()
        connection.send(kind, number, body, left=left)
        del request, body  # they may be large, and the next call may be long in coming


def yield_to_others() -> None:
    """Run at a lower priority: the worker's event loop and its heartbeat go first."""
    os.nice(NICENESS)
    with suppress(OSError), open("/proc/self/autogroup", "w") as group:  # noqa: PTH123  # pathlib is slow to load
        group.write(str(NICENESS))  # Linux may weigh sessions against each other, and this is one of its own


def set_limits(memory: int) -> None:
    """Bound the memory and files of a function; no function can raise a limit again.

    RLIMIT_DATA bounds the memory that a process may write to, not its address space: libraries reserve far
    more of that than they use.

    Args:
        memory: bytes; 0 for no bound.
    """
    limits = [
        (resource.RLIMIT_CORE, 0),  # a core dump would hold uploads of others
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ]
    if memory:
        limits.append((resource.RLIMIT_DATA, memory))
    for kind, most in limits:
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(ValueError, OSError):  # a system without this limit
            resource.setrlimit(kind, (limit, limit))


def hold_on_to(lifeline: int) -> int:
    """Let the system kill this process group once the worker, which alone can write to this pipe, is gone.

    `Connection.listen` does the same, but not while a function lets no other thread run.
    """
    if sys.platform == "linux":
        lifeline = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK)  # not shared with others
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    return lifeline


def answer(request: bytes, call: Call) -> tuple[int, bytes]:
    """Run the function that is asked for; RESULT or ERROR, and a pickle of it."""
    try:
        function, arguments, packages, call.traces = pickle.loads(request)
    except (AttributeError, ImportError, TypeError) as error:
        text = "The function or its arguments can't be loaded in another process"
        return ERROR, pickle.dumps(unpicklable(text, error))
    try:
        result = function(*arguments)
    except BaseException as error:  # SystemExit as well: it ends the call, not the process
        return ERROR, pickled_error(error, packages)
    try:
        return RESULT, pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return ERROR, pickle.dumps(
            unpicklable("The function's result can't be sent to another process", error)
        )


if __name__ == "__main__":
    main()
