"""Rate limits: requests of each caller, counted in Redis for all API processes together."""

import asyncio
import math
from typing import NamedTuple

from shared.store import scripts
from shared.store.client import REDIS_GONE, Runner

WINDOW = 60  # seconds
PATIENCE = 0.25  # seconds; an answer is due within 2 s, and the request's own calls to Redis come after


class Allowance(NamedTuple):
    """The answer of a caller's limit to a request.

    Attributes:
        granted: whether the request is within the limit.
        remaining: further requests that are within the limit now.
        more_in: whole seconds (at least 1) until one more request is allowed; after a refusal, until the
            refused request would be allowed.
    """

    granted: bool
    remaining: int
    more_in: int


class RateLimits:
    """Counts requests by GCRA: the whole limit may be used at once, and comes back evenly over the window.

    Args:
        runner: sends commands to Redis.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def take(self, caller: str, limit: int, cost: int = 1) -> Allowance | None:
        """Count requests of a caller against its limit in each WINDOW; None while Redis can't count.

        Args:
            cost: the number of requests; all of them are granted or none.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                reply = await scripts.RATE.run(self._runner, caller, limit, WINDOW * 1000, cost)
        except REDIS_GONE:
            return None
        granted, remaining, wait = reply
        return Allowance(granted == 1, remaining, math.ceil(wait / 1000))
