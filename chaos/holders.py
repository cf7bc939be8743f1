"""Handlers that let no other thread of their worker's interpreter run."""

import re
import time

from shared.contract import Contract, Params
from worker.context import BlockingContext
from worker.registry import Handler

FIRST_COUNT, FIRST_LETTERS = 1 << 20, 16


class HoldParams(Params):
    by: str
    seconds: float


def hold(params: HoldParams, job: BlockingContext) -> float:
    """Hold the interpreter in one call for about as long as asked; returns for how long it was."""
    start = time.monotonic()
    HOLDS[params.by](params.seconds)
    return time.monotonic() - start


def sum_numbers(seconds: float) -> None:
    count = FIRST_COUNT
    while (taken := _duration_of_sum(count)) < 0.05:
        count *= 2
    _duration_of_sum(int(count * seconds / taken))


def backtrack(seconds: float) -> None:
    """Match a pattern that takes twice as long with each letter more."""
    letters = FIRST_LETTERS
    while (taken := _duration_of_match(letters)) < seconds / 4:
        letters += 1
    for _ in range(round(seconds / taken)):
        _duration_of_match(letters)


def _duration_of_sum(count: int) -> float:
    start = time.monotonic()
    sum(range(count))
    return time.monotonic() - start


def _duration_of_match(letters: int) -> float:
    start = time.monotonic()
    re.match("(a+)+$", "a" * letters + "b")
    return time.monotonic() - start


HOLDS = {"sum": sum_numbers, "pattern": backtrack}
HOLD = Contract(
    name="hold",
    summary="Holds the interpreter.",
    params=HoldParams,
    result=float,
    example={"by": "sum", "seconds": 1},
    timeout=60,
    max_attempts=2,
)
HANDLER = Handler(HOLD, hold)
