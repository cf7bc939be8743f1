"""Functions for a child process: it imports them, so they stand apart from the tests and their imports."""

import _thread
import asyncio
import contextlib
import ctypes
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn, cast

from worker import reporting
from worker.processes import protocol
from worker.reporting import log, progress

LONG = 60.0
LIMITS = ("RLIMIT_CORE", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
CRASHES: dict[str, Callable[[], object]] = {
    "SIGSEGV": lambda: ctypes.string_at(0),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGABRT": os.abort,
    "exit code 3": lambda: os._exit(3),
}
BAD_ENDS: dict[str, type[BaseException]] = {
    kind.__name__: kind for kind in (SystemExit, KeyboardInterrupt, BaseException, asyncio.CancelledError)
}


class Picky(Exception):
    """An error that can be sent, but not taken in: its constructor wants more than its message."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}, because of {why}")


class Stubborn:
    """A value that can be taken apart, but put together in a child alone."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[()]]:
        return only_in_a_child, ()


def only_in_a_child() -> int:
    if sys.argv[0].endswith("child.py"):
        return 1
    raise ValueError("this is no child")


def give_back(value: Any) -> Any:
    return value


def trace_headers() -> dict[str, str]:
    return reporting.trace_headers()


def pid(_: object = None) -> int:
    return os.getpid()


def fail(error: BaseException) -> NoReturn:
    raise error


def fail_with_a_lock() -> NoReturn:
    raise ValueError("locked", threading.Lock())


def fail_pickily() -> NoReturn:
    raise Picky("it failed", "bad luck")


def end_badly(kind: str) -> NoReturn:
    raise BAD_ENDS[kind]("out")


def crash(how: str) -> None:
    CRASHES[how]()


def lose_the_connection() -> None:
    os.closerange(3, 100)


def make_a_lock() -> object:
    return threading.Lock()


def make_stubborn() -> object:
    return Stubborn()


def chatter() -> str:
    print("this is no message")
    os.write(1, b"\x00" * 100)
    sys.stdout.write("\x01" * 100)
    return "done"


def state() -> dict[str, Any]:
    """Properties of a child that it could have from its parent, and its imported modules."""
    return {
        "nice": os.nice(0),
        "SIGINT": int(cast("int", signal.getsignal(signal.SIGINT))),
        "group": os.getpgrp() == os.getpid(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS},
        "imported": {name.partition(".")[0] for name in sys.modules},
    }


def grow(size: int) -> int:
    KEPT.append(b"x" * size)
    return os.getpid()


KEPT: list[bytes] = []


def compute(started: str | None = None) -> None:
    """Tell of the process, then keep a CPU busy for longer than any test takes."""
    tell_of_this_process(started)
    progress(0)
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        pass


def hold_the_lock(started: str) -> int:
    """Compute, and never let another thread of the process run."""
    tell_of_this_process(started)
    return sum(range(10**10))


def start_another(started: str) -> None:
    """Wait for a process that this one has started."""
    command = [sys.executable, "-c", f"from tests.unit.worker.in_child import compute; compute({started!r})"]
    subprocess.run(command, check=True)


def tell_of_this_process(started: str | None) -> None:
    if started is not None:
        Path(started).with_suffix(".new").write_text(str(os.getpid()))
        Path(started).with_suffix(".new").rename(started)


def report(times: int, wait_for: str | None = None) -> None:
    """Report progress and log, often, then wait for a file."""
    for n in range(times):
        progress((n + 1) / times, f"step {n + 1}")
        log("step", number=n + 1)
    while wait_for is not None and not Path(wait_for).exists():
        time.sleep(0.005)


def report_for_ever() -> None:
    """Leave a thread behind that reports."""

    def talk() -> None:
        while True:
            progress(0.5, "left behind")

    threading.Thread(target=talk, daemon=True).start()


def fork_and_return(value: Any) -> Any:
    """A fork that comes back from the function as its parent does, after having reported."""
    if os.fork() == 0:
        report(3)
        return "the fork's"
    os.wait()
    return value


def fork_and_fail(value: Any) -> Any:
    """A fork whose program can't be started, as in a careless use of exec."""
    if os.fork() == 0:
        os.execvp("/no/such/program", ["program"])  # noqa: S606
    os.wait()
    return value


def answer_twice(value: Any) -> Any:
    """A second answer on the connection, made by the function itself."""
    call = cast("Any", reporting.current_call)
    call._connection.send(protocol.RESULT, 1, pickle.dumps("of another call"))
    return value


def write_to_every_descriptor(value: Any) -> Any:
    for descriptor in range(3, 200):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\x07" * 100)
    return value


def leave_a_raw_thread() -> None:
    """A thread that the module `threading` does not know."""
    runs = threading.Event()

    def sleep() -> None:
        runs.set()
        time.sleep(LONG)

    _thread.start_new_thread(sleep, ())
    runs.wait()


def leave_a_process() -> None:
    subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({LONG})"])


def use_threads_and_processes() -> int:
    """Threads and processes that end with the call."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(str, range(10)))
    threading.Thread(target=time.sleep, args=(0.02,)).start()
    subprocess.run(["true"], check=True)
    return os.getpid()


VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


def surroundings() -> dict[str, Any]:
    """The state of the process that a call may change for the next one."""
    os.umask(umask := os.umask(0))
    return {
        "pid": os.getpid(),
        "context": VARIABLE.get(),
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "umask": umask,
        "handler": str(signal.getsignal(signal.SIGUSR1)),
        "timer": signal.getitimer(signal.ITIMER_REAL),
    }


def change_surroundings() -> dict[str, Any]:
    VARIABLE.set("changed")
    os.chdir("/")
    os.environ["LEFT_BEHIND"] = "1"
    os.environ.pop("PATH", None)
    os.umask(0o777)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(9))
    signal.alarm(1000)
    return surroundings()


def fail_at_length(size: int) -> NoReturn:
    raise ValueError("x" * size)


def fail_in_a_group() -> NoReturn:
    from shared.errors import FinalError

    decisive = ExceptionGroup("more", [FinalError("no", code="decided")])
    raise ExceptionGroup("several", [ValueError("a"), decisive])


class Trap:
    """A value that runs a command where its pickle is loaded, as a child that was taken over may send one."""

    def __init__(self, *command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return subprocess.call, (list(self._command),)


class TrapError(Exception):
    def __init__(self, *command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return subprocess.call, (list(self._command),)


def give_a_trap(path: str, depth: int) -> object:
    trap: object = Trap("touch", path)
    for _ in range(depth):
        trap = {"deeper": [trap]}
    return trap


def report_raw(body: bytes) -> None:
    """A report made by something else than `progress` and `log`."""
    call = cast("Any", reporting.current_call)
    call._connection.send(protocol.REPORT, call._number, body)


def send_an_error(body: bytes) -> None:
    call = cast("Any", reporting.current_call)
    call._connection.send(protocol.ERROR, call._number, body)


def fill_memory(size: int) -> int:
    return len(bytearray(size))


def fail_as_a_library_does() -> NoReturn:
    from duckdb import ConversionException

    raise ConversionException("no number")


def fail_in_a_group_with_a_library() -> NoReturn:
    from duckdb import ConversionException

    from shared.errors import FinalError

    raise ExceptionGroup("several", [ConversionException("no number"), FinalError("no", code="decided")])
