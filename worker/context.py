"""JobContext and BlockingContext: what a handler may know of its job, and do with it."""

import asyncio
import concurrent.futures
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar, cast

import orjson

from shared.record import storable
from shared.store.job_leases import Claim
from worker.files import AttemptFiles
from worker.log_lines import Line, LogBuffer, line_of
from worker.processes.pool import Processes
from worker.processes.protocol import CallReport

STOPPED = "The attempt was stopped; what it still does no longer counts."
BYTES = "application/octet-stream"
MAX_RESULT_BYTES = 4 << 20
LOCK = Lock()  # of all jobs' lines: a handler may log from several threads

T = TypeVar("T")


class News(NamedTuple):
    """What is on its way to Redis: progress and lines as `Finished` has them, and the last line's number."""

    progress: bytes = b""
    lines: bytes = b""
    last_line: int = 0


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker lends to its jobs.

    Attributes:
        processes: where functions run that compute.
        attempt_files: makes the files of an attempt.
        max_result_bytes: bytes that a result may have as JSON.
    """

    processes: Processes
    attempt_files: Callable[[Claim], AttemptFiles]
    max_result_bytes: int = MAX_RESULT_BYTES


@dataclass(slots=True, eq=False)
class JobContext:
    """The job that a handler performs: what an `async def` handler is given.

    Attributes:
        job_id: the job's id.
        attempt: which attempt this is, from 1.
        max_attempts: the attempts after which the job fails for good.
        max_result_bytes: bytes that the result may have as JSON; a larger one fails the job.
        cancel_requested: true once the job is to stop: it was cancelled, its time is over, or the
            worker shuts down. An `async def` handler is interrupted as well; a `def` handler that
            runs for long looks here now and then.
        latest: the last progress reported, JSON.
        unsent: whether the record or the log lack something.
        files: the attempt's files; None until it uses one.
    """

    job_id: str
    attempt: int
    max_attempts: int
    cancel_requested: bool = False
    latest: bytes = b""
    unsent: bool = False
    files: AttemptFiles | None = None
    _announce: Callable[[], object] = field(default=lambda: None, repr=False)
    _claim: Claim | None = field(default=None, repr=False)
    _tools: Tools | None = field(default=None, repr=False)
    _lines: LogBuffer | None = field(default=None, repr=False)
    _calls: set[asyncio.Task[Any]] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, claim: Claim, announce: Callable[[], object], tools: Tools | None = None) -> "JobContext":
        return cls(
            claim.job_id, claim.attempt, claim.max_attempts, _announce=announce, _claim=claim, _tools=tools
        )

    # -- what a handler does

    @property
    def max_result_bytes(self) -> int:
        """Bytes that the result may have as JSON."""
        return self._tools.max_result_bytes if self._tools else MAX_RESULT_BYTES

    def progress(self, fraction: float, message: str = "") -> None:
        """Report how far the job is; may be called as often as one likes, from any thread.

        Args:
            fraction: 0 to 1; other values are brought into that range, NaN to 0.
            message: one line for the person who waits.
        """
        fraction = min(max(float(fraction), 0.0), 1.0) if fraction == fraction else 0.0
        self.latest = orjson.dumps({"fraction": fraction, "message": storable(message)})
        self.unsent = True
        self._announce()

    def log(self, message: str, **fields: object) -> None:
        """Write a line into the job's log; from any thread.

        Args:
            message: one line for whoever reads the log.
            fields: what belongs to it; what JSON lacks is written as its repr. A line of more than
                4 kB is cut.
        """
        self._keep([line_of(message, fields)])

    async def in_process(self, function: Callable[..., T], *arguments: object) -> T:
        """The function's result, computed in a process that is killed if the attempt is stopped.

        Args:
            function: from the top level of a module; it may use `progress` and `log` of `worker.reporting`.
            arguments: what pickle can carry, as the result must be.

        Raises:
            FinalError: the function, its arguments or its result can't go from process to process.
            RetryableError: the process died (code `process_crashed`).
            Exception: whatever the function raised.
        """
        async with self._lent() as (tools, _):
            return await tools.processes.run(function, *arguments, on_message=self._hear)

    async def save_artifact(self, name: str, data: bytes | Path, content_type: str = BYTES) -> None:
        """Keep data, or a file, as an artifact of the job."""
        async with self._lent() as (tools, claim):
            await self._files(tools, claim).save(name, data, content_type)

    async def open_input(self, reference: str) -> Path:
        """The path of a read-only copy of a file that the params name; it is gone once the attempt ends."""
        async with self._lent() as (tools, claim):
            return await self._files(tools, claim).open_input(reference)

    # -- what the worker does

    def news(self) -> News:
        """What the record and the log lack; see `shared.store.job_leases.Finished`."""
        if self._lines is None:
            return News(self.latest)
        with LOCK:
            lines, last = self._lines.numbered(), self._lines.last
        now, attempt = time.monotonic(), b'{"attempt":%d,' % self.attempt
        words = [
            b"%d %d %b" % (number, (now - line.at) * 1000, attempt + line.body[1:]) for number, line in lines
        ]
        return News(self.latest, b"\n".join(words), last)

    def arrived(self, news: News) -> None:
        """The record and the log have it."""
        self.unsent = False  # first: what is reported from now on is news again
        if self._lines is not None:
            with LOCK:
                self._lines.forget(news.last_line)
                self.unsent = self._lines.waiting
        if self.latest is not news.progress:
            self.unsent = True

    def end_calls(self) -> None:
        """End what the handler, or anything that it left behind, waits for."""
        for call in self._calls or ():
            call.cancel()

    def release(self) -> None:
        """The attempt has ended: end what it still holds, and let it begin nothing more."""
        self.cancel_requested = True
        self.end_calls()

    def _hear(self, report: CallReport) -> None:
        progress, lines = report
        if progress is not None:
            self.progress(*progress)
        if lines:
            self._keep(lines)

    def _keep(self, lines: list[Line]) -> None:
        with LOCK:
            self._lines = self._lines or LogBuffer()
            self._lines.add(lines)
        self.unsent = True
        self._announce()

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[tuple[Tools, Claim]]:
        """The worker's tools, for as long as the attempt is not stopped."""
        if self._tools is None or self._claim is None:
            raise RuntimeError("This context has no tools: make it by JobContext.of(claim, announce, tools).")
        if self.cancel_requested:
            await asyncio.sleep(0)  # for a handler that tries again and again
            raise asyncio.CancelledError(STOPPED)
        call = cast("asyncio.Task[Any]", asyncio.current_task())
        self._calls = self._calls or set()
        self._calls.add(call)
        try:
            yield self._tools, self._claim
        finally:
            self._calls.discard(call)

    def _files(self, tools: Tools, claim: Claim) -> AttemptFiles:
        if self.files is None:
            self.files = tools.attempt_files(claim)
        return self.files


class BlockingContext:
    """The job that a plain `def` handler performs: a JobContext whose methods block the handler's thread.

    When the attempt is stopped, a call that blocks raises asyncio.CancelledError, and so does every call
    after it.
    """

    def __init__(self, context: JobContext, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._context = context
        self._loop = loop
        self.job_id = context.job_id
        self.attempt = context.attempt
        self.max_attempts = context.max_attempts
        self.progress = context.progress
        self.log = context.log

    @property
    def cancel_requested(self) -> bool:
        """True once the job is to stop; a handler that runs for long looks here now and then."""
        return self._context.cancel_requested

    @property
    def max_result_bytes(self) -> int:
        """As `JobContext.max_result_bytes`."""
        return self._context.max_result_bytes

    def in_process(self, function: Callable[..., T], *arguments: object) -> T:
        """As `JobContext.in_process`."""
        return self._wait(self._context.in_process(function, *arguments))

    def save_artifact(self, name: str, data: bytes | Path, content_type: str = BYTES) -> None:
        """As `JobContext.save_artifact`."""
        self._wait(self._context.save_artifact(name, data, content_type))

    def open_input(self, reference: str) -> Path:
        """As `JobContext.open_input`."""
        return self._wait(self._context.open_input(reference))

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        """What the call comes to on the worker's event loop."""
        if self._loop is None:
            return asyncio.run(call)
        try:
            return asyncio.run_coroutine_threadsafe(call, self._loop).result()
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError(STOPPED) from None
