"""CORS: the headers by which a browser lets pages of other origins call this API and read its answers."""

import re
from collections.abc import Sequence

from starlette.types import Scope

from api.request import RawHeaders

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
EVERY_ORIGIN = "*"
REQUEST_HEADERS = (
    "Authorization",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "If-Range",
    "Last-Event-ID",
    "Prefer",
    "Range",
    "traceparent",
    "tracestate",
    "X-API-Key",
    "X-Request-ID",
)
ANSWER_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
PREFLIGHT_HEADERS = [
    (b"access-control-allow-methods", b"DELETE, GET, HEAD, POST"),
    (b"access-control-allow-headers", ", ".join(REQUEST_HEADERS).encode()),
    (b"access-control-max-age", b"600"),
]
EXPOSED = (b"access-control-expose-headers", ", ".join(ANSWER_HEADERS).encode())
VARY = (b"vary", b"Origin")


def read_origins(text: str) -> list[str]:
    """Read a comma-separated list of origins, normalized. Raises ValueError, which names the wrong one."""
    origins = [normalized(name.strip()) for name in text.split(",") if name.strip()]
    for origin in origins:
        if origin != EVERY_ORIGIN and not ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin such as https://app.example.com, without path")
    return origins


def normalized(origin: str) -> str:
    """An origin as browsers write it: in lower case, without the scheme's own port."""
    origin = origin.lower()
    return origin.removesuffix(DEFAULT_PORTS.get(origin.partition("://")[0], ":"))


def is_preflight(scope: Scope) -> bool:
    """Whether a request is a preflight, by which a browser asks before it sends the page's request."""
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


class Cors:
    """Origins whose pages may call this API, and the headers of answers to them.

    Starlette's middleware is not used: it refuses in plain text, and the answer to a fault of the server
    gets no headers from it.

    Args:
        origins: normalized origins, or `*` for every origin. The API uses no cookies, so `*` gives a page no
            rights but those of the key that it sends.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self.enabled = bool(origins)
        self._every = EVERY_ORIGIN in origins
        self._origins = {origin.encode() for origin in origins}

    def allows(self, origin: bytes | None) -> bool:
        return self._every or origin in self._origins

    def headers(self, origin: bytes | None) -> RawHeaders:
        """Headers of an answer to a request with this `Origin`, or with none."""
        if not self.enabled:
            return []
        if self._every:
            return [(b"access-control-allow-origin", b"*"), EXPOSED]
        if origin is None or not self.allows(origin):
            return [VARY]
        return [(b"access-control-allow-origin", origin), EXPOSED, VARY]
