"""API key check and scopes; absent from a server without `API_KEYS` and a keys file."""

import re

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as RequestScope

from api.errors import Forbidden, Unauthorized, error_response
from api.keys.api_key import READING, WRITING, ApiKey, Scope
from api.keys.key_set import KeySet
from api.request import SAFE_METHODS, RawHeaders
from api.state import state_of
from shared.errors import QueueUnavailable
from shared.logging import log_context

OPEN_PATHS = {"", "/", "/healthz", "/readyz", "/docs", "/openapi.json"}
OPEN_FOLDERS = ("/static-offline-docs/", "/ui/")
ADMIN_PATH = re.compile(
    r"(/v1)?(/queues/[^/]+/(pause|resume|drain)|/jobs/(cancel|retry)|/jobs/[^/]+/record)/?"
)
READING_POST = "/stream-token"  # end of the path whose POST changes nothing, and grants reading
CHALLENGE = {"WWW-Authenticate": "Bearer"}


def is_open(path: str) -> bool:
    """Whether a path needs no key: health checks, the reference, and the dashboard's page do not."""
    return path.removeprefix("/v1") in OPEN_PATHS or path == "/ui" or path.startswith(OPEN_FOLDERS)


class Auth:
    """Checks the key of a request, and the scope of the key.

    Routes find the key as `scope["key"]` and its name as `scope["caller"]`, log lines the name as `caller`.

    Args:
        app: the next application.
        keys: the keys of this process.
    """

    def __init__(self, app: ASGIApp, keys: KeySet) -> None:
        self._app = app
        self._keys = keys

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
        await self._app(scope, receive, send)

    async def _identify_by_token(self, scope: RequestScope) -> ApiKey:
        """The caller whose stream token the request carries."""
        caller = await state_of(scope).stream_tokens.caller_of(scope)
        key = self._keys.named(caller) if caller else None
        if key is None:
            raise Unauthorized("The request carries no API key.")
        return key


def _given_key(headers: RawHeaders) -> bytes | None:
    """The first key in the headers, in either form."""
    for name, value in headers:
        if name == b"x-api-key":
            return value
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
    return None


def _require_scope(key: ApiKey, method: str, path: str) -> None:
    if method not in SAFE_METHODS and ADMIN_PATH.fullmatch(path):
        if Scope.ADMIN not in key.scopes:
            raise Forbidden(
                f"{method} {path[:100]} needs the scope 'admin', which this API key does not have."
            )
        return
    reads = method in SAFE_METHODS or path.endswith(READING_POST)
    scope, scopes = (Scope.READ, READING) if reads else (Scope.WRITE, WRITING)
    if key.scopes.isdisjoint(scopes):
        raise Forbidden(
            f"{method} needs the scope '{scope}', or '{scope}:own', which this API key does not have."
        )
