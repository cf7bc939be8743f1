"""QueueMetrics: the counters of the API's half of the store."""

from collections.abc import Sequence
from typing import Protocol

from shared.store.moves import Move
from shared.store.submission import NewJob, Submitted


class QueueMetrics(Protocol):
    """The counters of the API's half of the store."""

    def note_submitted(self, jobs: Sequence[NewJob], submitted: Sequence[Submitted]) -> None:
        """Count the new jobs of a submission."""

    def note_moves(self, moves: Sequence[Move]) -> None:
        """Count the moves that calls have made."""
