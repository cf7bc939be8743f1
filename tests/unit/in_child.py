"""Functions for a child process: it imports them, so they stand apart from the tests and their imports."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from worker.child import log, progress

LONG = 60.0
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
    """What a child has of its parent's, and what it has imported."""
    return {
        "nice": os.nice(0),
        "SIGINT": signal.getsignal(signal.SIGINT),
        "group": os.getpgrp() == os.getpid(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
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
    command = [sys.executable, "-c", f"from tests.unit.in_child import compute; compute({started!r})"]
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
