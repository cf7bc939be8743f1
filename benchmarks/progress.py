"""The progress of a run, on stderr; stdout is for the report."""

import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def failure_logged() -> Iterator[None]:
    """Log the failure of one measurement, so that the others go on."""
    try:
        yield
    except (RuntimeError, TimeoutError, subprocess.TimeoutExpired):
        log(traceback.format_exc(limit=2))
