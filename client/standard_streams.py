"""Standard input, output and error: any of them may be closed, full, or unable to show every letter."""

import errno
import io
import json
import os
import sys
from contextlib import suppress
from typing import Any, BinaryIO, TextIO

from client.views import printable


def prepare() -> None:
    """Make both outputs fit to be written to, whatever a job has to say.

    Raises:
        OSError: standard output is closed; no result could be printed.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - it stays open to the end
    if sys.stdout is None:
        raise OSError(errno.EBADF, "Standard output is closed")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def settle() -> None:
    """Write what is still buffered, or drop it: Python would end with a traceback and exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(text: str) -> None:
    """Print a line on standard error; a standard error that is gone changes nothing else."""
    with suppress(OSError, ValueError):
        print(printable(text), file=sys.stderr, flush=True)


def standard_input() -> BinaryIO:
    """The bytes of standard input.

    Raises:
        OSError: it is closed.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed")
    return sys.stdin.buffer


def as_json(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON, with escapes if standard output can't show each of its letters."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if shows(sys.stdout, text) else json.dumps(value, indent=indent)


def shows(stream: TextIO, text: str) -> bool:
    """Whether the encoding of a stream has all letters of a text."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
