"""Moves: changes of jobs' states that a script has made by itself, told to its caller for metrics."""

from collections.abc import Sequence
from typing import NamedTuple

RESCUED = "rescued"


class Move(NamedTuple):
    """A change that no outcome of an attempt has brought.

    Attributes:
        job_type: the name of the job's type.
        kind: the job's new state, if it has ended; RESCUED for an attempt whose worker was lost.
    """

    job_type: str
    kind: str


NO_MOVES: list[Move] = []


def moves_of(words: Sequence[bytes]) -> list[Move]:
    """The moves in the reply of a script: type and kind of each."""
    if not words:
        return NO_MOVES
    names = [word.decode() for word in words]
    return [Move(*pair) for pair in zip(names[::2], names[1::2], strict=True)]
