"""ModelHost: a process that holds a model on one device, kept alive, and its state."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.errors import RetryableError
from shared.logging import get_log
from worker.models import host_calls
from worker.models.batch import Device
from worker.models.batcher import Answer
from worker.models.handler import ModelHandler
from worker.processes.child_connection import Child
from worker.processes.child_counts import ChildCounts
from worker.processes.plain_pickles import Packages, packages_of
from worker.processes.protocol import CallReport, ProtocolError, describe, pack, unpack
from worker.timeouts import timeout_error

FIRST_PAUSE = 0.1  # seconds between two starts that were of no use
MAX_PAUSE = 30.0

log = get_log(__name__)


class HostState(StrEnum):
    """States of a model host."""

    STARTING = "STARTING"
    READY = "READY"
    SETUP_FAILED = "SETUP_FAILED"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The surroundings of a host's process.

    Attributes:
        lifeline: a pipe that breaks when the worker ends.
        max_memory: bytes that the process may take; 0 for no bound.
        max_growth: bytes of resident memory beyond those after the setup, above which it is replaced.
        job_types: the packages of job types.
        environment: the variables of the process.
    """

    lifeline: int
    max_memory: int
    max_growth: int
    job_types: Packages
    environment: Mapping[str, str]


class ModelHost:
    """A process that holds a model on one device. A process that ends is started again.

    Args:
        handler: the handler whose model it is.
        device: the device.
        label: the device as WORKER_DEVICES names it.
        on_change: called when the state has changed.

    Attributes:
        state: the state of the process; a failed setup is repeated, and stays SETUP_FAILED meanwhile.
        since: the time of that state, in seconds since the epoch.
        error: the reason of the last failed setup.
        counts: the process, and the ends of those before it.
    """

    def __init__(
        self, handler: ModelHandler, device: Device, label: str, on_change: Callable[[], None]
    ) -> None:
        self.handler = handler
        self.label = label
        self.state = HostState.STARTING
        self.since = time.time()
        self.error = ""
        self.counts = ChildCounts()
        self._device = device
        self._on_change = on_change
        self._child: Child | None = None
        self._served = False
        self._most_memory = 0
        self._packages: Packages = ()

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self.state is HostState.READY and self._child is not None and self._child.alive

    @property
    def failed(self) -> bool:
        """Whether the last setup failed."""
        return self.state is HostState.SETUP_FAILED

    async def keep(self, surroundings: Surroundings) -> None:
        """Start the process, and again after its end; later and later if it is of no use."""
        self._packages = packages_of(self.handler.function, surroundings.job_types)
        pause = FIRST_PAUSE
        while True:
            self._served = False
            await self._live(surroundings)
            if self._served:
                pause = FIRST_PAUSE
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE)

    async def run(
        self,
        items: Sequence[Any],
        on_report: Callable[[CallReport], None],
        traces: Sequence[dict[str, str]] | None = None,
    ) -> list[Answer]:
        """Run a batch, one at a time; a cancellation meanwhile kills the process.

        Args:
            items: the arguments of the function, one for each job.
            on_report: called with the function's reports while it runs.
            traces: the trace headers of each job, for `worker.reporting.trace_headers`.

        Raises:
            RetryableError: the process died (code `process_crashed`), or took longer than the job type's
                timeout.
            Exception: the error of the function.
        """
        child, seconds = self._child, self.handler.job_type.timeout
        assert child is not None  # noqa: S101  # the batcher asks a ready host alone
        request = pack(host_calls.perform, (items,), self._packages, traces)
        try:
            async with asyncio.timeout(seconds):
                answers = await child.call(request, self._packages, on_report)
            self._served = True
            return [self._answer(*answer) for answer in answers]
        except TimeoutError:
            raise timeout_error(seconds) from None
        except ProtocolError:
            child.kill()
            raise
        finally:
            self._bound_memory(child)

    async def _live(self, surroundings: Surroundings) -> None:
        """Start a process, load the model, and wait for the end of the process."""
        child = await self._load(surroundings)
        if child is None:
            return
        self._child = child
        self.counts.alive += 1
        try:
            self._change(HostState.READY)
            await child.process.wait()
            self.counts.note_end(by_worker=child.killed)
            if not child.killed:
                log.error("a model host died; it is started again", **self.names, end=child.end())
        finally:
            child.kill()
            await child.process.wait()
        self._change(HostState.STARTING)

    async def _load(self, surroundings: Surroundings) -> Child | None:
        """A process with the model; None if that failed."""
        seconds, began = self.handler.batch.setup_timeout, time.monotonic()
        child = None
        try:
            child = await Child.start(
                surroundings.lifeline, surroundings.max_memory, surroundings.environment, pinned=True
            )
            words = (self.handler.function, self._device, self._packages)
            async with asyncio.timeout(seconds):
                await child.call(pack(host_calls.set_up, words, self._packages), self._packages, None)
        except Exception as error:
            if child is not None:
                child.kill()
                await child.process.wait()
            self.counts.failed += 1
            late = isinstance(error, TimeoutError)
            self.error = f"The setup took longer than {seconds:g} s." if late else describe(error)
            log.error("a model can't be loaded; it is tried again", **self.names, reason=self.error)
            self._change(HostState.SETUP_FAILED)
            return None
        except BaseException:
            if child is not None:
                child.kill()
            raise
        self.error = ""
        self._most_memory = child.resident() + surroundings.max_growth
        log.info("model loaded", **self.names, seconds=round(time.monotonic() - began, 3))
        return child

    @property
    def names(self) -> dict[str, str]:
        """The names of the host, for the log."""
        return {"type": self.handler.job_type.name, "device": self.label}

    def _answer(self, fine: object, body: object) -> Answer:
        """The answer of one job, checked: the process may have been taken over."""
        if not isinstance(body, bytes):
            raise ProtocolError("it sent an answer that can't be read.")
        if fine:
            return body
        error = unpack(body, self._packages)
        return error if isinstance(error, Exception) else RetryableError(describe(ValueError(repr(error))))

    def _bound_memory(self, child: Child) -> None:
        """Replace a process that has taken too much memory since its setup."""
        if child.alive and child.resident() > self._most_memory:
            log.warning("a model host took too much memory; it is started again", **self.names)
            child.kill()

    def _change(self, state: HostState) -> None:
        if state is not self.state:
            self.state, self.since = state, time.time()
            self._on_change()
