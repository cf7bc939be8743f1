"""Which requests are sent again when they fail for a passing reason, how often, and after which pause."""

import random
from dataclasses import dataclass

import httpx

from client.errors import JobServerError

IDEMPOTENCY_KEY = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Retries:
    """How hard the client tries.

    Attributes:
        most: how often one request is sent again; 0 for never.
        seconds: no request is sent again later than this after it was sent first.
        first: longest pause before the first repetition, in seconds; it doubles with each.
        longest: bound of the pauses, in seconds, unless the server asks for more in Retry-After.
    """

    most: int = 6
    seconds: float = 60.0
    first: float = 0.2
    longest: float = 8.0

    def pause(self, error: JobServerError, repetition: int, spent: float) -> float | None:
        """Seconds before the next repetition, or None to give up.

        Never sooner than Retry-After says; what comes on top is spread, so that clients that were
        turned away together do not return together.

        Args:
            error: what the last try ended with.
            repetition: how often the request was sent again already.
            spent: seconds since it was sent first.
        """
        if not error.retryable or repetition >= self.most:
            return None
        backoff = min(self.longest, self.first * 2.0 ** min(repetition, 32))
        pause = (error.retry_after or 0.0) + backoff * random.uniform(0.5, 1)
        return pause if spent + pause <= self.seconds else None


DEFAULT_RETRIES = Retries()


def repeatable(request: httpx.Request) -> bool:
    """Whether a request does no more harm when it is sent twice."""
    return request.method in ("GET", "DELETE") or IDEMPOTENCY_KEY in request.headers
