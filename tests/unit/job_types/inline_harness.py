"""Harness for handlers whose functions run in this process, so that a test can patch them."""

import asyncio
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from worker.processes.pool import Processes
from worker.testing import Harness


class InlinePool:
    """Pool that pickles functions and results as the pool of processes does, and runs them in threads.

    Attributes:
        calls: the names of the functions, in order.
        most_at_once: how many of them ran at once.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.most_at_once = self._running = 0

    async def run(
        self, function: Callable[..., Any], *arguments: object, on_message: object, traces: object
    ) -> Any:
        self.calls.append(function.__name__)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            return pickle.loads(await asyncio.to_thread(perform, pickle.dumps((function, arguments))))
        finally:
            self._running -= 1


def perform(request: bytes) -> bytes:
    function, arguments = pickle.loads(request)
    return pickle.dumps(function(*arguments))


class InlineHarness(Harness):
    """Harness with a pool that runs functions in threads.

    Attributes:
        pool: the pool, which counts its calls.
    """

    def __init__(self, folder: Path) -> None:
        self.pool = InlinePool()
        super().__init__(folder, cast(Processes, self.pool))

    @property
    def latest(self) -> bytes:
        """The last progress reported, JSON."""
        return self._context.latest
