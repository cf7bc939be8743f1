"""API key check, scopes and rate limits; not part of a server without `API_KEYS` and a keys file."""

from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as RequestScope

from api.errors import Forbidden, RateLimited, Unauthorized, error_response
from api.keys.api_key import READING, WRITING, ApiKey, Scope
from api.keys.key_set import KeySet
from api.request import SAFE_METHODS, RawHeaders
from api.state import state_of
from shared.errors import InvalidRequest, QueueUnavailable
from shared.logging import log_context
from shared.store.rate_limits import WINDOW, Allowance, RateLimits

OPEN_PATHS = {"", "/", "/healthz", "/readyz", "/docs", "/openapi.json"}
OPEN_FOLDER = "/static-offline-docs/"
READING_POST = "/stream-token"  # end of the path whose POST changes nothing, and grants reading
CHALLENGE = {"WWW-Authenticate": "Bearer"}
POLICY = '"default"'


def is_open(path: str) -> bool:
    """Whether a path needs no key: health checks and the reference do not."""
    return path.removeprefix("/v1") in OPEN_PATHS or path.startswith(OPEN_FOLDER)


class Access:
    """Checks the key of a request, its scope and its rate limit.

    Routes find the key as `scope["key"]` and its name as `scope["caller"]`, log lines the name as `caller`.

    Args:
        app: the next application.
        keys: the keys of this process.
        rate: requests a minute for a key that has no limit of its own; 0 for no limit.
    """

    def __init__(self, app: ASGIApp, keys: KeySet, rate: int) -> None:
        self._app = app
        self._keys = keys
        self._rate = rate

    async def __call__(self, scope: RequestScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            given = _given_key(scope["headers"])
            key = await self._identify_by_token(scope) if given is None else self._keys.identify(given)
            log_context.set({**(log_context.get() or {}), "caller": key.name})
            _require_scope(key, scope["method"], scope["path"])
        except (Unauthorized, Forbidden) as error:
            await error_response(error, CHALLENGE)(scope, receive, send)
            return
        except QueueUnavailable as error:
            await error_response(error)(scope, receive, send)
            return
        scope["key"], scope["caller"] = key, key.name
        await self._serve_within_limit(key, scope, receive, send)

    async def _identify_by_token(self, scope: RequestScope) -> ApiKey:
        """The caller whose stream token the request carries."""
        caller = await state_of(scope).stream_tokens.caller_of(scope)
        key = self._keys.named(caller) if caller else None
        if key is None:
            raise Unauthorized("The request carries no API key.")
        return key

    async def _serve_within_limit(
        self, key: ApiKey, scope: RequestScope, receive: Receive, send: Send
    ) -> None:
        limit = self._rate if key.rate is None else key.rate
        allowance = await state_of(scope).rate_limits.take(key.name, limit) if limit else None
        # Without Redis nothing is counted, and the request passes. If it needs Redis, it fails with a better
        # answer than a 429; if not, it is cheap.
        if allowance is None:
            await self._app(scope, receive, send)
        elif allowance.granted:
            scope["meter"] = meter = Meter(state_of(scope).rate_limits, key.name, limit, allowance)
            await self._app(scope, receive, _adding(meter, send))
        else:
            error = _limited(limit, allowance)
            await error_response(error, _rate_headers(limit, allowance))(scope, receive, send)


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
                hint=f"Split the batch into parts of {self.limit} jobs at most.",
                details=[{"path": "jobs", "message": message, "kind": "above_rate_limit"}],
            )
        if jobs > 1 and (allowance := await self._rate_limits.take(self._caller, self.limit, jobs - 1)):
            self.allowance = allowance
            if not allowance.granted:
                raise _limited(self.limit, allowance)


def _limited(limit: int, allowance: Allowance) -> RateLimited:
    error = RateLimited(
        f"The limit of {limit} requests a minute is reached; {allowance.remaining} are left now."
    )
    error.retry_after = allowance.more_in
    return error


def _given_key(headers: RawHeaders) -> bytes | None:
    """The first key in the headers, in either form."""
    for name, value in headers:
        if name == b"x-api-key":
            return value
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
    return None


def _require_scope(key: ApiKey, method: str, path: str) -> None:
    reads = method in SAFE_METHODS or path.endswith(READING_POST)
    scope, scopes = (Scope.READ, READING) if reads else (Scope.WRITE, WRITING)
    if key.scopes.isdisjoint(scopes):
        raise Forbidden(
            f"{method} needs the scope '{scope}', or '{scope}:own', which this API key does not have."
        )


def _rate_headers(limit: int, allowance: Allowance) -> dict[str, str]:
    """The headers of draft-ietf-httpapi-ratelimit-headers-11.

    `t` is the time within which no more than `r` requests are accepted. The limit comes back request by
    request, so `t` is the time until the next one, and for a refused request its Retry-After.
    """
    return {
        "RateLimit-Policy": f"{POLICY};q={limit};w={WINDOW}",
        "RateLimit": f"{POLICY};r={allowance.remaining};t={allowance.more_in}",
    }


def _adding(meter: Meter, send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = _rate_headers(meter.limit, meter.allowance)
            raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            message["headers"] = [*message["headers"], *raw]
        await send(message)

    return send_with_headers
