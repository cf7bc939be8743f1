"""ChildCounts: how many child processes of one kind run, and how the others ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(slots=True)
class ChildCounts:
    """Child processes of one kind.

    Attributes:
        alive: those that run now.
        failed: those that died, did not start, or could not load their model.
        replaced: those that the worker ended, as after a cancellation or WORKER_PROCESS_MAX_CALLS.
    """

    alive: int = 0
    failed: int = 0
    replaced: int = 0

    @classmethod
    def sum_of(cls, counts: Iterable["ChildCounts"]) -> "ChildCounts":
        total = cls()
        for some in counts:
            total.alive += some.alive
            total.failed += some.failed
            total.replaced += some.replaced
        return total

    def note_end(self, *, by_worker: bool) -> None:
        """Count the end of a process that was alive."""
        self.alive -= 1
        if by_worker:
            self.replaced += 1
        else:
            self.failed += 1


class Counted(Protocol):
    """A part of the worker that has child processes."""

    @property
    def counts(self) -> ChildCounts: ...


class Children(NamedTuple):
    """The parts of the worker that have child processes; the names are the values of the label `kind`."""

    compute: Counted
    model: Counted
    heartbeat: Counted
