"""Functions for a child process: it imports them, so they stand apart from the tests and their imports."""

import os
import time
from typing import Any

LONG = 3600.0


def give_back(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def compute(seconds: float = LONG) -> int:
    """Keep a CPU busy."""
    end = time.monotonic() + seconds
    turns = 0
    while time.monotonic() < end:
        turns += 1
    return turns
