"""Processes: a pool of warm child processes that run functions, and that can be killed.

A thread can't be ended, a process can. The time, the memory and the crashes of a function in a child process
are the cost of its own job alone.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from shared.job_type_loader import OWN_PACKAGES
from shared.logging import get_log
from worker.processes.child_connection import Child
from worker.processes.child_counts import ChildCounts
from worker.processes.environment import child_environment
from worker.processes.keepers import Keepers
from worker.processes.plain_pickles import Packages, packages_of
from worker.processes.protocol import CallReport, describe, pack

FIRST_PAUSE = 0.1
MAX_PAUSE = 10.0

T = TypeVar("T")

log = get_log(__name__)


class Processes:
    """Child processes that wait for functions to run.

    Attributes:
        counts: the processes, and their ends so far.

    Args:
        size: processes at once.
        max_calls: calls after which a process is replaced.
        max_rss: resident memory in bytes above which a process is replaced after a call.
        max_memory: bytes that a function may take; it gets no more. 0 for no bound.
        job_types: the packages of job types, whose classes every result may be of.
        environment: that of the processes; by default the variables of `child_environment`.
    """

    def __init__(
        self,
        size: int,
        *,
        max_calls: int,
        max_rss: int,
        max_memory: int = 0,
        job_types: Packages = OWN_PACKAGES,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._size = size
        self._max_calls = max_calls
        self._max_rss = max_rss
        self._max_memory = max_memory
        self._job_types = job_types
        self._environment = child_environment() if environment is None else environment
        self.counts = ChildCounts()
        self._free: list[Child] = []
        self._available = asyncio.Semaphore(0)  # as many as are in `_free`; lets callers in by their order
        self._keepers = Keepers()

    def start(self) -> None:
        """Start the processes in the background."""
        self._keepers.open()
        self._keepers.start(self._keep() for _ in range(self._size))

    async def run(
        self,
        function: Callable[..., T],
        *arguments: object,
        on_message: Callable[[CallReport], None] | None = None,
        traces: Sequence[dict[str, str]] | None = None,
    ) -> T:
        """The function's result, from the next process that is free.

        A cancellation meanwhile kills the process, with all that the function has started.

        Args:
            function: from the top level of a module, so that the child can import it.
            arguments: values that pickle can carry. The result is to be plain data, or of classes of job
                types' packages or the function's own.
            on_message: called with the function's reports while it runs.
            traces: the trace headers of the job, for `worker.reporting.trace_headers`.

        Raises:
            FinalError: the function, its arguments or its result can't go from process to process.
            RetryableError: the process died (code `process_crashed`), or the function's error can't be sent;
                its text is that of the error.
            Exception: an error of the function that is built in, or of a package as above.
        """
        packages = packages_of(function, self._job_types)
        request = pack(function, arguments, packages, traces)
        child = await self._take()
        try:
            result: T = await child.call(request, packages, on_message)
            return result
        finally:
            if child.spoiled or child.calls >= self._max_calls or child.resident() > self._max_rss:
                child.kill()
            elif child.alive:
                self._give(child)

    async def close(self) -> None:
        """Kill the processes, whatever they do."""
        await self._keepers.close()

    async def _take(self) -> "Child":
        while True:
            await self._available.acquire()
            child = self._free.pop()
            if child.alive and not child.speaks:
                return child
            child.kill()

    def _give(self, child: "Child") -> None:
        self._free.append(child)
        self._available.release()

    async def _keep(self) -> None:
        """Start a process, and another one when it has ended; later and later if they are of no use."""
        pause = FIRST_PAUSE
        while True:
            served = await self._keep_one()
            if served:
                pause = FIRST_PAUSE
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE)

    async def _keep_one(self) -> bool:
        """Start a process and wait for its end; whether it was of use."""
        try:
            child = await Child.start(self._keepers.lifeline, self._max_memory, self._environment)
        except (OSError, EOFError, TimeoutError) as error:
            self.counts.failed += 1
            log.error("a child process does not start", reason=describe(error))
            return False
        self.counts.alive += 1
        try:
            self._give(child)
            await child.process.wait()
            self.counts.note_end(by_worker=child.killed)
            if not child.killed:
                log.warning("a child process died", pid=child.process.pid, end=child.end())
            return child.calls > 0
        finally:
            child.kill()
            await child.process.wait()
