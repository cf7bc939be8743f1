"""Keepers: the tasks of a worker that each keep one child process alive."""

import asyncio
import os
from collections.abc import Coroutine, Iterable

CLOSE_SECONDS = 1.0  # in which the tasks kill their processes


class Keepers:
    """Tasks that start a process, wait for its end, and start the next one.

    Attributes:
        lifeline: the end of a pipe for the processes; it breaks when the worker ends.
    """

    def __init__(self) -> None:
        self.lifeline = -1
        self._pipe: tuple[int, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Open the lifeline."""
        self._pipe = os.pipe()
        self.lifeline = self._pipe[0]

    def start(self, tasks: Iterable[Coroutine[None, None, None]]) -> None:
        self._tasks = [asyncio.create_task(task) for task in tasks]

    async def close(self) -> None:
        """End the tasks, which kill their processes, and close the lifeline."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        for descriptor in self._pipe:
            os.close(descriptor)
