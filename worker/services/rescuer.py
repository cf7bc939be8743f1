"""Rescuer: rescues the jobs of dead workers, and expires, prunes and repairs jobs that no step comes to."""

from collections.abc import Callable, Sequence

from shared.store.moves import Move
from shared.store.upkeep import Upkeep, keep_up


class Rescuer:
    """Runs the upkeep of these queues three times a lease; see `shared/store/upkeep.py`, and its script
    `parts/rescue.lua`."""

    def __init__(
        self,
        upkeep: Upkeep,
        queues: Sequence[str],
        *,
        lease: float,
        on_moves: Callable[[Sequence[Move]], None] | None = None,
    ) -> None:
        self._upkeep = upkeep
        self._queues = queues
        self._lease = lease
        self._on_moves = on_moves

    async def run(self) -> None:
        await keep_up(self._upkeep, self._queues, lease=self._lease, on_moves=self._on_moves)
