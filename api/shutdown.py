"""Hear of the end of the process before the server waits for its requests to end."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def before_shutdown(act: Callable[[], None]) -> Iterator[None]:
    """Within the block, call `act` on the event loop when a signal tells the process to end.

    The server hears the signal as well; but it ends the application's lifespan only when all requests
    are done, and those that wait for a job should not hold it up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        if callable(before[number]):
            before[number](number, frame)

    for number in SIGNALS:
        if callable(before[number]):
            signal.signal(number, handle)
    yield
    for number in SIGNALS:
        if callable(before[number]):
            signal.signal(number, before[number])
