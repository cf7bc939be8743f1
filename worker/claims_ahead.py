"""ClaimsAhead: the number of claims that a lane may hold besides its running jobs."""

import time

AHEAD_SECONDS = 0.01  # the time for which an urgent job may wait behind held claims
MOST_CLAIMS = 200  # of a lane, running and held; two steps of a lane carry no more
WINDOW_SECONDS = 0.02
GROWTH = 1.1  # of the bound in each window, after a return


class ClaimsAhead:
    """Bounds the held claims by time: as many as the slots take within AHEAD_SECONDS, at their latest rate.

    Claims that found no slot in time go back to the queue. Each such return halves the bound, which then
    grows again.

    Args:
        size: the number of slots; with more of them fewer claims are held.
    """

    def __init__(self, size: int) -> None:
        self._largest = max(0, MOST_CLAIMS - size)
        self._ended = 0  # attempts in this window
        self._begun_at = time.monotonic()
        self._by_rate = 0.0
        self._share = 1.0

    @property
    def most(self) -> int:
        """The number of claims to hold at most."""
        now = time.monotonic()
        elapsed = now - self._begun_at
        if elapsed >= WINDOW_SECONDS:
            self._by_rate = min(self._ended / elapsed * AHEAD_SECONDS, self._largest)
            self._share = min(self._share * GROWTH, 1.0)
            self._ended, self._begun_at = 0, now
        return int(self._by_rate * self._share)

    def note_ended(self, attempts: int) -> None:
        self._ended += attempts

    def note_return(self) -> None:
        """Claims have found no slot in time."""
        self._share /= 2
