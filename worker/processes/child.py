"""A child process of the worker: it runs one function after another, and dies with the worker.

A function that runs here reports by `progress` and `log`. Until the first call nothing is imported but
the standard library, so that a process which waits costs little.
"""

import _signal  # type: ignore[import-not-found]  # what `signal` asks, without its enumerations
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
import traceback
from contextlib import suppress
from contextvars import copy_context
from itertools import pairwise
from queue import SimpleQueue
from struct import Struct
from threading import Lock, Thread, Timer
from typing import TYPE_CHECKING

from worker.processes.plain_pickles import Packages, load_plain, packages_of

if TYPE_CHECKING:
    from worker.log_lines import Line, Lines

HEADER = Struct("!BBQQQ")
"""Before each message: its kind, what the call left behind, its number, the sender's pid, its length.

All messages to the child are of the kind CALL.
"""
CALL, READY, REPORT, RESULT, ERROR = range(5)
NOTHING, THREADS, PROCESSES = range(3)  # what a call may leave behind; the process is replaced then

REPORT_SECONDS = 0.05
END_SECONDS = 0.2  # for threads and processes of a call that are about to end
LOOK_SECONDS = 0.005
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
LARGEST_ERROR = 1 << 20  # bytes of a pickled error; a larger one is replaced by what it says
LONGEST_TEXT = 20_000  # characters of an error's message or traceback; a record shows 1,000
FORK_EXIT = 70
MOST_DESCRIPTORS = 1 << 16
LARGEST_FILE = 64 << 30  # bytes that a function may write into one
OPEN_FILES = 4096
NICENESS = 10  # the worker's event loop and its heartbeat go first
MEMORY_HINT = "Submit less work per job, or raise WORKER_PROCESS_MAX_MEMORY_BYTES."
UNPICKLABLE_HINT = (
    "Give in_process a function from the top level of a module, no lambda or inner function, and let "
    "arguments and result be plain data: numbers, text, bytes, lists, dicts."
)

Report = tuple[tuple[float, str] | None, "list[Line]"]
"""What a function has told since the last report: its progress, if it told any, and its lines."""


def progress(fraction: float, message: str = "") -> None:
    """Report how far the job is, as `JobContext.progress` does; outside of a call this does nothing."""
    if _call is not None and _call.pid == os.getpid():
        _call.progress(float(fraction), str(message))


def log(message: str, **fields: object) -> None:
    """Write a line into the job's log, as `JobContext.log` does; outside of a call this does nothing."""
    if _call is not None and _call.pid == os.getpid():
        _call.log(message, fields)


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


class Call:
    """A call that runs, and what it reports: at once, or together with what comes soon after.

    Attributes:
        pid: the process that it runs in; a fork of it has no say.
    """

    def __init__(self, connection: Connection, number: int) -> None:
        self.pid = os.getpid()
        self._connection = connection
        self._number = number
        self._lock = Lock()
        self._progress: tuple[float, str] | None = None
        self._lines: Lines | None = None
        self._sent_at = -REPORT_SECONDS
        self._timer: Timer | None = None
        self._over = False

    def progress(self, fraction: float, message: str) -> None:
        with self._lock:
            self._progress = (fraction, message)
            self._send_soon()

    def log(self, message: str, fields: dict[str, object]) -> None:
        from worker.log_lines import Lines, line_of

        line = line_of(message, fields)
        with self._lock:
            self._lines = self._lines or Lines()
            self._lines.add([line])
            self._send_soon()

    def end(self) -> None:
        """Send what is not sent yet; what a thread that was left behind reports from now on goes nowhere."""
        with self._lock:
            timer, self._over = self._timer, True
            self._send()
        if timer is not None:
            timer.cancel()
            timer.join()

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
        lines = self._lines.take() if self._lines else []
        if self._progress or lines:
            self._connection.send(REPORT, self._number, pickle.dumps((self._progress, lines)))
            self._sent_at = time.monotonic()
        self._progress = self._timer = None


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


_call: Call | None = None
"""The call that runs; None between calls, and outside of a child."""


def main() -> None:
    global _call
    os.nice(NICENESS)
    with suppress(OSError), open("/proc/self/autogroup", "w") as group:  # noqa: PTH123  # pathlib is slow to load
        group.write(str(NICENESS))  # Linux may weigh sessions against each other, and this is one of its own
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the worker, which lets running jobs finish
    faulthandler.enable()
    set_limits(int(sys.argv[3]))
    descriptor, lifeline = int(sys.argv[1]), hold_on_to(int(sys.argv[2]))
    for lower, upper in pairwise(sorted((2, descriptor, lifeline, MOST_DESCRIPTORS))):
        os.closerange(lower + 1, upper)  # what a process inherits, it would keep open for others
    connection = Connection(descriptor)
    Thread(target=connection.listen, daemon=True).start()
    surroundings = Surroundings()
    connection.send(READY, 0, b"")
    while True:
        number, request = connection.requests.get()
        _call = call = Call(connection, number)
        kind, body = copy_context().run(answer, request)
        if os.getpid() != call.pid:
            os._exit(FORK_EXIT)  # a fork that came back from the function: the answer is not its to give
        _call = None
        call.end()
        surroundings.restore()
        connection.send(kind, number, body, left=surroundings.left_behind())
        del request, body  # they may be large, and the next call may be long in coming


def set_limits(memory: int) -> None:
    """Bound the memory and files of a function; no function can raise a limit again.

    RLIMIT_DATA bounds the memory that a process may write to, not its address space: libraries reserve far
    more of that than they use.

    Args:
        memory: bytes; 0 for no bound.
    """
    limits = [
        (resource.RLIMIT_CORE, 0),  # a core dump would hold what others have uploaded
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


def answer(request: bytes) -> tuple[int, bytes]:
    """Run the function that is asked for; RESULT or ERROR, and a pickle of it."""
    try:
        function, arguments = pickle.loads(request)
    except (AttributeError, ImportError, TypeError) as error:
        return ERROR, unpicklable("The function or its arguments can't be loaded in another process", error)
    try:
        result = function(*arguments)
    except BaseException as error:  # SystemExit as well: it ends the call, not the process
        return ERROR, pickled_error(error, packages_of(function))
    try:
        return RESULT, pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return ERROR, unpicklable("The function's result can't be sent to another process", error)


def cut(text: str) -> str:
    """The text, or its ends if it is long."""
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]} … {text[-half:]}"


def unpicklable(what: str, error: Exception) -> bytes:
    from shared.errors import FinalError

    return pickle.dumps(FinalError(f"{what}: {describe(error)}.", code="unpicklable", hint=UNPICKLABLE_HINT))


def pickled_error(error: BaseException, packages: Packages) -> bytes:
    """The pickle of an error with its traceback as a note, or of a substitute if it can't be sent."""
    if isinstance(error, MemoryError):
        error = out_of_memory(error)
    note = cut("".join(traceback.format_exception(error)))
    with suppress(Exception):
        sent = sendable(error, packages)
        sent.add_note(note)
        body = pickle.dumps(sent)
        if len(body) <= LARGEST_ERROR:
            return body
    return pickle.dumps(substitute(error))


def out_of_memory(error: MemoryError) -> Exception:
    from shared.errors import RetryableError

    failure = RetryableError(
        "The job's function got no more memory.", code="process_memory", hint=MEMORY_HINT
    )
    failure.__cause__ = error
    return failure


def sendable(error: BaseException, packages: Packages) -> Exception:
    """The error, or a substitute with the same text if the worker would not load it."""
    if isinstance(error, Exception):  # what ends a process must not be raised in the worker
        with suppress(Exception):
            load_plain(pickle.dumps(error), packages)
            return error
    if isinstance(error, BaseExceptionGroup):
        return ExceptionGroup(error.message, [sendable(inner, packages) for inner in error.exceptions])
    return substitute(error)


def substitute(error: BaseException) -> Exception:
    """An error that says what this one says, and that can be sent."""
    from shared.errors import JobFailure, RetryableError

    if isinstance(error, JobFailure):
        code, hint, retryable = str(error.code), str(error.hint), bool(error.retryable)
        return JobFailure(cut(str(error)), code=code, hint=cut(hint), retryable=retryable)
    return RetryableError(describe(error))


def describe(error: BaseException) -> str:
    try:
        return cut(f"{type(error).__name__}: {error}")
    except BaseException:  # the error's own class may raise whatever it likes
        return type(error).__name__


if __name__ == "__main__":
    from worker.processes import child  # as the functions that run here know it: `_call` is to be there once

    child.main()
