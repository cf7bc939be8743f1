"""Rate limit: requests a minute of each key; absent from a server without keys."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import RateLimited, error_response
from api.keys.api_key import ApiKey
from api.state import state_of
from shared.errors import InvalidRequest
from shared.store.rate_limits import WINDOW, Allowance, RateLimits

POLICY = '"default"'


class RateLimit:
    """Counts the requests of each key that has a limit, and refuses those beyond it.

    Args:
        app: the next application.
        rate: requests a minute for a key without its own limit; 0 for no limit.
    """

    def __init__(self, app: ASGIApp, rate: int) -> None:
        self._app = app
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key: ApiKey | None = scope.get("key")  # none on the open paths
        limit = 0 if key is None else self._rate if key.rate is None else key.rate
        if key is None or not limit:
            await self._app(scope, receive, send)
            return
        rate_limits = state_of(scope).rate_limits
        allowance = await rate_limits.take(key.name, limit)
        # Without Redis nothing is counted, and the request passes. If it needs Redis, it fails with a better
        # answer than a 429; if not, it is cheap.
        if allowance is None:
            await self._app(scope, receive, send)
        elif allowance.granted:
            scope["meter"] = meter = Meter(rate_limits, key.name, limit, allowance)
            await self._app(scope, receive, _adding_headers(meter, send))
        else:
            error = _limited(limit, allowance)
            await error_response(error, _headers(limit, allowance))(scope, receive, send)


class Meter:
    """Count of a limited caller's requests: a batch counts as one request for each of its jobs.

    Routes find the meter as `scope["meter"]`, if the caller has a limit. One request is counted already then.

    Attributes:
        limit: requests a minute.
        allowance: the rest of the limit, after the last count.
    """

    def __init__(self, rate_limits: RateLimits, caller: str, limit: int, allowance: Allowance) -> None:
        self._rate_limits = rate_limits
        self._caller = caller
        self.limit = limit
        self.allowance = allowance

    async def count(self, jobs: int) -> None:
        """Count a request as one for each of its jobs, all of them or none.

        Raises:
            RateLimited: the rest of the limit is smaller.
            InvalidRequest: the whole limit is smaller.
        """
        if jobs > self.limit:
            message = f"{jobs} jobs count as {jobs} requests, and the limit is {self.limit} a minute."
            raise InvalidRequest(
                message,
                hint=f"Split the batch, with {self.limit} at most in each part.",
                details=[{"path": "jobs", "message": message, "kind": "above_rate_limit"}],
            )
        if jobs > 1 and (allowance := await self._rate_limits.take(self._caller, self.limit, jobs - 1)):
            self.allowance = allowance
            if not allowance.granted:
                raise _limited(self.limit, allowance)


def _limited(limit: int, allowance: Allowance) -> RateLimited:
    error = RateLimited(f"Requests a minute are limited to {limit}; left now: {allowance.remaining}.")
    error.retry_after = allowance.more_in
    return error


def _headers(limit: int, allowance: Allowance) -> dict[str, str]:
    """The headers of draft-ietf-httpapi-ratelimit-headers-11.

    `t` is the time within which no more than `r` requests are accepted. The limit comes back request by
    request, so `t` is the time until the next one, and for a refused request its Retry-After.
    """
    return {
        "RateLimit-Policy": f"{POLICY};q={limit};w={WINDOW}",
        "RateLimit": f"{POLICY};r={allowance.remaining};t={allowance.more_in}",
    }


def _adding_headers(meter: Meter, send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = _headers(meter.limit, meter.allowance)
            raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            message["headers"] = [*message["headers"], *raw]
        await send(message)

    return send_with_headers
