"""The protocol between the worker and a child process: frames, requests, reports and answers.

Both ends import this module, and until its first call a child is to import the standard library alone. So the
module imports all else within the functions that need it.
"""

import pickle
from collections.abc import Callable, Sequence
from math import isfinite
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from worker.processes.plain_pickles import Packages, load_plain

if TYPE_CHECKING:
    from worker.log_lines import Line

HEADER = Struct("!BBQQQ")
"""The head of each frame: kind, things that the call left behind, the call's number, sender's pid, length.

All frames to the child are of the kind CALL.
"""
CALL, READY, REPORT, RESULT, ERROR = range(5)
NOTHING, THREADS, PROCESSES = range(3)  # left behind by a call; then the process is replaced

PINNED = "pinned"  # argument of a child that holds a model: it keeps its priority, and is never restored

LARGEST_ERROR = 1 << 20  # bytes of a pickled error; a larger one is replaced by its text
MAX_TEXT_LENGTH = 20_000  # characters of an error's message or traceback; a record shows 1,000
UNPICKLABLE_HINT = (
    "Give in_process a function from the top level of a module, no lambda or inner function, and let "
    "arguments and result be plain data: numbers, text, bytes, lists, dicts."
)


class CallReport(NamedTuple):
    """Reports of a function since the one before.

    Attributes:
        place: that of the job in its batch; None for every job of the call.
        progress: the latest fraction and message, if there is any.
        lines: lines of the job's log.
        output: chunks of the job's output.
    """

    place: int | None
    progress: "tuple[float, str] | None"
    lines: "list[Line]"
    output: list[Any]


class ProtocolError(Exception):
    """A frame that does not belong to the call that runs, or that can't be read."""


def pack(
    function: Callable[..., object],
    arguments: tuple[object, ...],
    packages: Packages,
    traces: Sequence[dict[str, str]] | None = None,
) -> bytes:
    """The request for a call; `traces` are the trace headers of each of its jobs.

    Raises:
        FinalError: it can't be pickled.
    """
    try:
        return pickle.dumps((function, arguments, packages, traces), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise unpicklable("The function or its arguments can't be sent to another process", error) from error


def unpack(body: bytes, packages: Packages) -> Any:
    """The result or error of a call. Raises FinalError if the worker may not load it."""
    try:
        return load_plain(body, packages)
    except Exception as error:
        text = "The function's result or error can't be loaded in the worker"
        raise unpicklable(text, error) from error


def read_reports(body: bytes) -> list[CallReport]:
    """Reports with checked parts: the worker passes them on as they are. Raises ProtocolError."""
    from worker.log_lines import Line

    try:
        return [_checked_report(*report) for report in load_plain(body, (Line.__module__,))]
    except Exception as error:
        raise ProtocolError(f"it sent a report that can't be read: {describe(error)}.") from None


def _checked_report(index: Any, progress: Any, lines: Any, output: Any) -> CallReport:
    import orjson

    if progress is not None:
        fraction, message = progress
        progress = (float(fraction), str(message))
    if index is not None and index != abs(int(index)):
        raise ValueError("a job's place in its batch is malformed")
    return CallReport(index, progress, [_checked(line) for line in lines], [orjson.loads(c) for c in output])


def unpicklable(text: str, error: Exception) -> Exception:
    """The failure of a call whose request or answer can't go from process to process."""
    from shared.errors import FinalError

    return FinalError(f"{text}: {describe(error)}.", code="unpicklable", hint=UNPICKLABLE_HINT)


def describe(error: BaseException) -> str:
    """The class and text of an error."""
    try:
        return cut(f"{type(error).__name__}: {error}")
    except BaseException:  # the error's own class may raise whatever it likes
        return type(error).__name__


def cut(text: str) -> str:
    """The text, or its two ends if it is long."""
    half = MAX_TEXT_LENGTH // 2
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[:half]} … {text[-half:]}"


def _checked(line: "Line") -> "Line":
    import orjson

    from worker.log_lines import MAX_LINE_BYTES, Line

    at, body = float(line.at), bytes(line.body)
    if not isfinite(at) or len(body) > MAX_LINE_BYTES or orjson.loads(body).keys() != {"message", "fields"}:
        raise ValueError("a line of the log is malformed")
    return Line(at, b" ".join(body.splitlines()))
