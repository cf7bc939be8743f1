"""Callbacks at the signals of a process: before uvicorn waits for open requests, and at SIGHUP."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def before_shutdown(act: Callable[[], None]) -> Iterator[None]:
    """Within the block, a signal that ends the process runs a callback on the event loop first.

    uvicorn gets the signal as well. But it ends the application's lifespan only when all requests are done,
    and requests that wait for a job must not delay that. uvicorn does not handle SIGHUP, which the end of a
    terminal sends: here it counts as SIGTERM, unless it is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    server = dict(before)
    if before[signal.SIGHUP] is signal.SIG_DFL:  # which ends the process at once; nohup has it ignored
        server[signal.SIGHUP] = lambda number, frame: server[signal.SIGTERM](signal.SIGTERM, frame)

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        server[number](number, frame)

    handled = [number for number in SIGNALS if callable(server[number]) and callable(server[signal.SIGTERM])]
    for number in handled:
        signal.signal(number, handle)
    yield
    for number in handled:
        signal.signal(number, before[number])


@contextmanager
def at_hangup(act: Callable[[], None]) -> Iterator[None]:
    """Within the block, SIGHUP runs a callback on the event loop, and does not end the process.

    Use it within `before_shutdown`, which makes SIGHUP end the process; this callback replaces that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(act))
    yield
    signal.signal(signal.SIGHUP, before)
