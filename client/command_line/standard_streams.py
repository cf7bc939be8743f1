"""Standard input, output and error: each may be closed, full, or of an encoding that lacks some letters."""

import errno
import io
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, BinaryIO, TextIO


def prepare() -> None:
    """Open standard error if it is closed, and let standard output escape letters that it lacks.

    Raises:
        OSError: standard output is closed; no result could be printed.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - open to the end of the process
    if sys.stdout is None:
        raise OSError(errno.EBADF, "Standard output is closed")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def flush_or_drop() -> None:
    """Flush both outputs, or drop their rest: Python would end with a traceback and exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_error(text: str) -> None:
    """Print one line on standard error; a failure to do so changes nothing else."""
    with suppress(OSError, ValueError):
        print(printable(text), file=sys.stderr, flush=True)


def note_missing_jobs() -> None:
    """Say on standard error that what was printed lacks jobs."""
    print_error("Jobs are left out: a shard of Redis does not answer. GET /server/info names it.")


def print_all(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def standard_input() -> BinaryIO:
    """Binary standard input.

    Raises:
        OSError: standard input is closed.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed")
    return sys.stdin.buffer


def as_json(value: Any, *, indent: int | None = None) -> str:
    """Render a value as JSON, with escapes if standard output lacks one of its letters."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if can_encode(sys.stdout, text) else json.dumps(value, indent=indent)


def can_encode(stream: TextIO, text: str) -> bool:
    """Whether the encoding of a stream has all letters of a text."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """Replace all that could move the cursor by blanks: the author of a job's text may be anybody."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
