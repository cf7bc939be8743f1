"""Retries of requests that failed for a passing reason: how often, how long, and the pauses between them."""

import random
from dataclasses import dataclass

from client.errors import JobServerError


@dataclass(frozen=True, slots=True)
class Retries:
    """Limits of the retries of one request.

    Attributes:
        most: retries at most; 0 for none.
        seconds: a retry is never sent later than this after the first try.
        first: upper bound of the first pause, in seconds; the bound doubles with each retry.
        longest: upper bound of every pause, in seconds; Retry-After comes on top.
    """

    most: int = 6
    seconds: float = 60.0
    first: float = 0.2
    longest: float = 8.0

    def pause(self, error: JobServerError, count: int, spent: float) -> float | None:
        """Seconds before the next retry, or None to give up.

        The pause is never shorter than Retry-After. The backoff on top of it is random, so that clients that
        were refused together do not return together.

        Args:
            error: the error of the last try.
            count: number of retries so far.
            spent: seconds since the first try.
        """
        if not error.retryable or count >= self.most:
            return None
        backoff = min(self.longest, self.first * 2.0 ** min(count, 32))
        pause = (error.retry_after or 0.0) + backoff * random.uniform(0.5, 1)
        return pause if spent + pause <= self.seconds else None


DEFAULT_RETRIES = Retries()
