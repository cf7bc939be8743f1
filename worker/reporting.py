"""Reports of a function that runs in a child process, to its jobs: progress, log lines, output.

The module imports the standard library alone: a child process that waits for a call costs little.
"""

import os
from typing import Protocol


class ReportingCall(Protocol):
    """The call of a function in a child process, as far as its reports need it.

    Attributes:
        pid: the process that the call runs in.
    """

    pid: int

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


def _call_of_this_process() -> ReportingCall | None:
    """The call that runs, but None in a fork of its process: a forked process must not report."""
    return current_call if current_call is not None and current_call.pid == os.getpid() else None
