"""HeldClaims: the claims that a lane has besides its running jobs, until a slot is free."""

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Callable, MutableSequence
from itertools import count
from typing import NamedTuple

from shared.store.job_leases import Claim
from worker.claims_ahead import ClaimsAhead

HOLD_SECONDS = 0.05  # for which a claim waits for a slot; then it goes back to its place in the queue
STALE_SECONDS = 0.5
"""The age from which a claim does not start: the event loop was blocked, and the heartbeat process, which
returns the held claims of a blocked worker after twice this time, may have done so.
"""

_numbers = count(1)  # of the held claims of all lanes


class HeldClaim(NamedTuple):
    """A claim without a slot.

    Attributes:
        claimed_at: in milliseconds since the epoch, by Redis' clock.
        arrived_at: in seconds, by the monotonic clock.
        number: rises with each held claim of the process.
    """

    claim: Claim
    claimed_at: int
    arrived_at: float
    number: int


class HeldClaims:
    """Claims without a slot, the oldest first.

    Args:
        size: the number of slots.
        on_return: called with the claims that no slot became free for in time.

    Attributes:
        ahead: bounds the number of held claims.
        taken: its one item is the largest number of a claim that was started; the heartbeat process reads it.
    """

    def __init__(self, size: int, on_return: Callable[[list[Claim]], None]) -> None:
        self.ahead = ClaimsAhead(size)
        self.taken: MutableSequence[int] | memoryview = array("Q", [0])
        self._claims: deque[HeldClaim] = deque()
        self._on_return = on_return
        self._open = True
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_event_loop()

    def __len__(self) -> int:
        return len(self._claims)

    @property
    def most(self) -> int:
        """The number of claims to hold at most."""
        return self.ahead.most if self._open else 0

    def add(self, claims: list[Claim], claimed_at: int) -> list[HeldClaim]:
        now = time.monotonic()
        held = [
            HeldClaim(claim, claimed_at, now, number) for claim, number in zip(claims, _numbers, strict=False)
        ]
        self._claims.extend(held)
        if not self._open:
            self._return(len(self._claims))
        elif self._claims and self._timer is None:
            self._timer = self._loop.call_later(HOLD_SECONDS, self._return_old)
        return held

    def pop(self) -> HeldClaim:
        """Remove the oldest claim, to start it."""
        held = self._claims.popleft()
        if held.number > self.taken[0]:  # else another lane has started a later one
            self.taken[0] = held.number
        return held

    def return_stale(self) -> None:
        """Return the claims that are too old to start."""
        limit = time.monotonic() - STALE_SECONDS
        if self._claims and self._claims[0].arrived_at <= limit:
            self._return(sum(held.arrived_at <= limit for held in self._claims))

    def drop(self, chosen: Callable[[Claim], bool]) -> list[Claim]:
        """Remove some claims, which are not to start."""
        dropped = [held.claim for held in self._claims if chosen(held.claim)]
        if dropped:
            self._claims = deque(held for held in self._claims if not chosen(held.claim))
        return dropped

    def close(self) -> None:
        """Return the claims now, and from now on each claim at once."""
        self._open = False
        self._return(len(self._claims))

    def _return_old(self) -> None:
        self._timer = None
        limit = time.monotonic() - HOLD_SECONDS
        self._return(sum(held.arrived_at <= limit for held in self._claims))
        if self._claims:
            self._timer = self._loop.call_later(self._claims[0].arrived_at - limit, self._return_old)

    def _return(self, count: int) -> None:
        if count:
            self.ahead.note_return()
            self._on_return([self._claims.popleft().claim for _ in range(count)])
