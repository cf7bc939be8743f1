"""Reports of a function that runs in a child process, to its jobs: progress, log lines, output; their traces.

The module imports the standard library alone: a child process that waits for a call costs little.
"""

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class ReportingCall(Protocol):
    """The call of a function in a child process, as far as its reports need it.

    Attributes:
        pid: the process that the call runs in.
        traces: the trace headers of each of its jobs; None if none of them has any.
    """

    pid: int
    traces: "Sequence[dict[str, str]] | None"

    def progress(self, index: int | None, fraction: float, message: str) -> None: ...
    def log(self, index: int | None, message: str, fields: dict[str, object]) -> None: ...
    def emit(self, index: int, chunk: object) -> None: ...


current_call: ReportingCall | None = None
"""The call that runs in this process; None between calls, and outside of a child."""


class JobReports:
    """Reports to one job of a batch.

    Args:
        index: its place in the list of params.
    """

    def __init__(self, index: int) -> None:
        self._index = index

    def progress(self, fraction: float, message: str = "") -> None:
        """Report how far the job is."""
        if call := _call_of_this_process():
            call.progress(self._index, float(fraction), str(message))

    def log(self, message: str, **fields: object) -> None:
        """Write a line into the job's log."""
        if call := _call_of_this_process():
            call.log(self._index, message, fields)

    def emit(self, chunk: object) -> None:
        """Stream a chunk of the job's output."""
        emit(self._index, chunk)

    def trace_headers(self) -> dict[str, str]:
        """The headers that pass the job's trace on."""
        return trace_headers(self._index)


def progress(fraction: float, message: str = "") -> None:
    """Report how far the job is, as `JobContext.progress` does; outside of a call this does nothing.

    In a batch, the report is to all its jobs.
    """
    if call := _call_of_this_process():
        call.progress(None, float(fraction), str(message))


def log(message: str, **fields: object) -> None:
    """Write a line into the job's log, as `JobContext.log` does; outside of a call this does nothing.

    In a batch, the line is for all its jobs.
    """
    if call := _call_of_this_process():
        call.log(None, message, fields)


def emit(index: int, chunk: object) -> None:
    """Stream a chunk of a job's output, as `JobContext.emit` does; outside of a call this does nothing.

    Args:
        index: the job's place in its batch; 0 in a function that serves one job.
        chunk: any value of JSON, such as a piece of text.
    """
    if call := _call_of_this_process():
        call.emit(index, chunk)


def trace_headers(index: int = 0) -> dict[str, str]:
    """The headers `traceparent` and `tracestate` that pass a job's trace on; none without a trace.

    Args:
        index: the job's place in its batch; 0 in a function that serves one job.
    """
    call = _call_of_this_process()
    return dict(call.traces[index]) if call and call.traces else {}


def _call_of_this_process() -> ReportingCall | None:
    """The call that runs, but None in a fork of its process: a forked process must not report."""
    return current_call if current_call is not None and current_call.pid == os.getpid() else None
