"""The job type `hold`: a handler that holds the interpreter lock, against all threads of its worker."""

import re
import time
from collections.abc import Callable
from math import log2

from shared.job_type import JobType, Params
from worker.context import BlockingContext
from worker.handler import Handler


class HoldParams(Params):
    by: str
    seconds: float


def hold(params: HoldParams, job: BlockingContext) -> float:
    """Hold the interpreter in one call for at least `seconds`; returns the seconds it took."""
    return HOLDS[params.by](params.seconds)


def sum_numbers(seconds: float) -> float:
    count = 1 << 20
    while (taken := _duration(sum, range(count))) < seconds:
        count = int(count * min(max(1.2 * seconds / taken, 1.5), 16))
    return taken


def backtrack(seconds: float) -> float:
    """Match a pattern whose time doubles with each letter."""
    letters = 16
    while (taken := _duration(re.match, "(a+)+$", "a" * letters + "b")) < seconds:
        letters += max(1, min(int(log2(seconds / taken)), 4))
    return taken


def _duration(function: Callable[..., object], *arguments: object) -> float:
    start = time.monotonic()
    function(*arguments)
    return time.monotonic() - start


HOLDS = {"sum": sum_numbers, "pattern": backtrack}
HOLD = JobType(
    name="hold",
    summary="Holds the interpreter.",
    params=HoldParams,
    result=float,
    example={"by": "sum", "seconds": 1},
    timeout=60,
    max_attempts=2,
)
HANDLER = Handler(HOLD, hold)
