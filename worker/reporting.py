"""Reports of a function that runs in a child process, to its job: `progress` and `log`.

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

    def progress(self, fraction: float, message: str) -> None: ...
    def log(self, message: str, fields: dict[str, object]) -> None: ...


current_call: ReportingCall | None = None
"""The call that runs in this process; None between calls, and outside of a child."""


def progress(fraction: float, message: str = "") -> None:
    """Report how far the job is, as `JobContext.progress` does; outside of a call this does nothing."""
    if call := _call_of_this_process():
        call.progress(float(fraction), str(message))


def log(message: str, **fields: object) -> None:
    """Write a line into the job's log, as `JobContext.log` does; outside of a call this does nothing."""
    if call := _call_of_this_process():
        call.log(message, fields)


def _call_of_this_process() -> ReportingCall | None:
    """The call that runs, but None in a fork of its process: a forked process must not report."""
    return current_call if current_call is not None and current_call.pid == os.getpid() else None
