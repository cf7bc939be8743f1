"""JobContext and BlockingContext: a handler's view of its job, and its means to report and to compute."""

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
from shared.traces.context import NO_TRACE, TraceContext
from worker.files import AttemptFiles
from worker.log_lines import Line, LogBuffer, line_of
from worker.output_buffer import OutputBuffer
from worker.processes.pool import Processes
from worker.processes.protocol import CallReport

STOPPED = "The attempt was stopped; its result no longer counts. Return from the handler."
BYTES = "application/octet-stream"
MAX_RESULT_BYTES = 4 << 20
LOCK = Lock()  # for the lines of all jobs: a handler may log from several threads

T = TypeVar("T")


class PendingReport(NamedTuple):
    """Progress, lines and chunks that Redis does not have yet, as `Finished` has them.

    Attributes:
        last_line: the number of the last line.
        last_chunk: the number of the last chunk of the output.
    """

    progress: bytes = b""
    lines: bytes = b""
    last_line: int = 0
    output: bytes = b""
    last_chunk: int = 0


NO_REPORT = PendingReport()


@dataclass(frozen=True, slots=True)
class Tools:
    """The services of a worker that its handlers use.

    Attributes:
        processes: the pool of processes for functions that compute.
        attempt_files: opens the files of an attempt.
        max_result_bytes: the largest result as JSON, in bytes.
    """

    processes: Processes
    attempt_files: Callable[[Claim], AttemptFiles]
    max_result_bytes: int = MAX_RESULT_BYTES


@dataclass(slots=True, eq=False)
class JobContext:
    """The job that a handler performs, as an `async def` handler gets it.

    Attributes:
        job_id: the job's id.
        attempt: the number of this attempt, from 1.
        max_attempts: the attempts after which the job fails for good.
        max_result_bytes: the largest result as JSON, in bytes; a larger one fails the job.
        cancel_requested: true once the job is to stop: it was cancelled, its time is over, or the
            worker shuts down. An `async def` handler is interrupted as well; a `def` handler that
            runs for long checks this now and then.
        latest: the last progress reported, JSON.
        unsent: whether Redis lacks progress, lines or output of this attempt.
        files: the attempt's files; None until the handler uses one.
        span: the trace context of the attempt's own span; None if the attempt has none.
    """

    job_id: str
    attempt: int
    max_attempts: int
    cancel_requested: bool = False
    latest: bytes = b""
    unsent: bool = False
    files: AttemptFiles | None = None
    span: TraceContext | None = None
    _on_report: Callable[[], object] = field(default=lambda: None, repr=False)
    _claim: Claim | None = field(default=None, repr=False)
    _tools: Tools | None = field(default=None, repr=False)
    _lines: LogBuffer | None = field(default=None, repr=False)
    _output: OutputBuffer | None = field(default=None, repr=False)
    _calls: set[asyncio.Task[Any]] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, claim: Claim, announce: Callable[[], object], tools: Tools | None = None) -> "JobContext":
        return cls(
            claim.job_id, claim.attempt, claim.max_attempts, _on_report=announce, _claim=claim, _tools=tools
        )

    # -- for the handler

    @property
    def max_result_bytes(self) -> int:
        """The largest result as JSON, in bytes."""
        return self._tools.max_result_bytes if self._tools else MAX_RESULT_BYTES

    @property
    def caller_trace(self) -> TraceContext:
        """The trace context of the request that submitted the job; empty without one."""
        return TraceContext.of_stored(self._claim.trace) if self._claim else NO_TRACE

    @property
    def trace(self) -> TraceContext:
        """The trace context to pass on: that of the attempt's span, or else that of the caller.

        Its `headers` belong into requests that the handler makes.
        """
        return self.span or self.caller_trace

    def progress(self, fraction: float, message: str = "") -> None:
        """Report how far the job is; from any thread, as often as useful.

        Args:
            fraction: 0 to 1; other values are brought into that range, NaN to 0.
            message: one line for the person who waits.
        """
        fraction = min(max(float(fraction), 0.0), 1.0) if fraction == fraction else 0.0
        self.latest = orjson.dumps({"fraction": fraction, "message": storable(message)})
        self.unsent = True
        self._on_report()

    def log(self, message: str, **fields: object) -> None:
        """Write a line into the job's log; from any thread.

        Args:
            message: one line for the reader of the log.
            fields: values that belong to the line; those that JSON lacks are written as their repr. A line of
                more than 4 kB is cut.
        """
        self._add_lines([line_of(message, fields)])

    def emit(self, chunk: object) -> None:
        """Stream a chunk of the job's output to its readers; from any thread.

        A further attempt begins the output anew.

        Args:
            chunk: any value of JSON, such as a piece of text.

        Raises:
            FinalError: the chunk has no JSON or is too large, or the whole output is.
        """
        with LOCK:
            self._output = self._output or OutputBuffer(self.max_result_bytes)
            self._output.add(chunk)
        self.unsent = True
        self._on_report()

    async def in_process(self, function: Callable[..., T], *arguments: object) -> T:
        """The function's result, computed in a process that is killed if the attempt is stopped.

        Args:
            function: from the top level of a module; may use `progress`, `log` and `trace_headers` of
                `worker.reporting`.
            arguments: values that pickle can carry, as the result must be.

        Raises:
            FinalError: the function, its arguments or its result can't go from process to process.
            RetryableError: the process died (code `process_crashed`).
            Exception: any error of the function itself.
        """
        async with self._tools_in_use() as (tools, _):
            traces = [trace.headers] if (trace := self.trace) else None
            return await tools.processes.run(function, *arguments, on_message=self.take_report, traces=traces)

    async def save_artifact(self, name: str, data: bytes | Path, content_type: str = BYTES) -> None:
        """Save data, or a copy of a file, as an artifact of the job."""
        async with self._tools_in_use() as (tools, claim):
            await self._files(tools, claim).save(name, data, content_type)

    async def open_input(self, reference: str) -> Path:
        """The path of a read-only copy of a file that the params name, for as long as the attempt runs."""
        async with self._tools_in_use() as (tools, claim):
            return await self._files(tools, claim).open_input(reference)

    # -- for the worker

    def pending_report(self, *, whole: bool = False) -> PendingReport:
        """Progress, lines and output that Redis lacks; see `shared.store.job_leases.Finished`.

        Args:
            whole: with all of the output; else a part of it, if it is much.
        """
        if self._lines is None and self._output is None:
            return PendingReport(self.latest) if self.latest else NO_REPORT
        with LOCK:
            lines, last_line = self._numbered_lines()
            output, last_chunk = self._output.numbered(whole=whole) if self._output else (b"", 0)
        return PendingReport(self.latest, lines, last_line, output, last_chunk)

    def _numbered_lines(self) -> tuple[bytes, int]:
        if self._lines is None:
            return b"", 0
        lines = self._lines.numbered()
        now, attempt = time.monotonic(), b'{"attempt":%d,' % self.attempt
        words = [
            b"%d %d %b" % (number, (now - line.at) * 1000, attempt + line.body[1:]) for number, line in lines
        ]
        return b"\n".join(words), self._lines.last

    def acknowledge(self, report: PendingReport) -> None:
        """Forget a report that Redis has."""
        self.unsent = False  # first: progress and lines from now on are unsent again
        with LOCK:
            if self._lines is not None:
                self._lines.acknowledge(report.last_line)
                self.unsent = self._lines.waiting
            if self._output is not None:
                self._output.acknowledge(report.last_chunk)
                self.unsent = self.unsent or self._output.waiting
        if self.unsent and report.output:
            self._on_report()  # more output waits than one report carries
        if self.latest is not report.progress:
            self.unsent = True

    def cancel_calls(self) -> None:
        """Cancel the calls of the handler, and those of tasks and threads that it left behind."""
        for call in self._calls or ():
            call.cancel()

    def close(self) -> None:
        """End the attempt's calls, and let its handler begin no further one."""
        self.cancel_requested = True
        self.cancel_calls()

    def take_report(self, report: CallReport) -> None:
        """Take the reports of a function that runs in another process."""
        if report.progress is not None:
            self.progress(*report.progress)
        if report.lines:
            self._add_lines(report.lines)
        for chunk in report.output:
            self.emit(chunk)

    def _add_lines(self, lines: list[Line]) -> None:
        with LOCK:
            self._lines = self._lines or LogBuffer()
            self._lines.add(lines)
        self.unsent = True
        self._on_report()

    @asynccontextmanager
    async def _tools_in_use(self) -> AsyncIterator[tuple[Tools, Claim]]:
        """The worker's tools, for one call; a stop of the attempt cancels the call."""
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
        self.emit = context.emit

    @property
    def cancel_requested(self) -> bool:
        """True once the job is to stop; a handler that runs for long checks this now and then."""
        return self._context.cancel_requested

    @property
    def max_result_bytes(self) -> int:
        """As `JobContext.max_result_bytes`."""
        return self._context.max_result_bytes

    @property
    def caller_trace(self) -> TraceContext:
        """As `JobContext.caller_trace`."""
        return self._context.caller_trace

    @property
    def trace(self) -> TraceContext:
        """As `JobContext.trace`."""
        return self._context.trace

    def in_process(self, function: Callable[..., T], *arguments: object) -> T:
        """As `JobContext.in_process`."""
        return self._run(self._context.in_process(function, *arguments))

    def save_artifact(self, name: str, data: bytes | Path, content_type: str = BYTES) -> None:
        """As `JobContext.save_artifact`."""
        self._run(self._context.save_artifact(name, data, content_type))

    def open_input(self, reference: str) -> Path:
        """As `JobContext.open_input`."""
        return self._run(self._context.open_input(reference))

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run the call on the worker's event loop; returns its result."""
        if self._loop is None:
            return asyncio.run(call)
        try:
            return asyncio.run_coroutine_threadsafe(call, self._loop).result()
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError(STOPPED) from None
