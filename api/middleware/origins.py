"""Check of requests that web pages send: their host and their origin; answers to CORS preflights."""

from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import CrossSiteRequest, InvalidHost, MisdirectedRequest, error_response
from api.middleware.cors import PREFLIGHT_HEADERS, Cors, is_preflight, normalized
from api.middleware.hosts import AllowedHosts
from api.request import SAFE_METHODS

OWN_SITES = {b"same-origin", b"none"}  # none: an action of the visitor, such as opening a bookmark


class OriginCheck:
    """Refuses hosts that are not allowed, and unsafe requests of pages of other origins; answers preflights.

    A browser sends a page's simple requests to any server, and only keeps the answers from the page. The
    origin of the page is in `Sec-Fetch-Site`, unless the server has a name and no TLS, and in `Origin`. A
    request with neither is not from a page.

    Args:
        app: the next application.
        hosts: the hosts that requests may name.
        cors: the origins whose pages may send every request.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, cors: Cors) -> None:
        self._app = app
        self._hosts = hosts
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        hosts, origin, site = [], None, None
        for name, value in scope["headers"]:  # one loop for all three: this is part of every request
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if self._cors.enabled:
            scope["answer_headers"] = self._cors.headers(origin)
        try:
            self._hosts.check(scope, hosts)
            if origin is not None or site is not None:
                self._check_page(scope, hosts, origin, site)
        except (InvalidHost, MisdirectedRequest, CrossSiteRequest) as error:
            await error_response(error)(scope, receive, send)
            return
        if origin is not None and self._cors.allows(origin) and is_preflight(scope):
            await send({"type": "http.response.start", "status": 204, "headers": PREFLIGHT_HEADERS})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)

    def _check_page(self, scope: Scope, hosts: list[bytes], origin: bytes | None, site: bytes | None) -> None:
        """Check a request of a browser.

        Raises:
            CrossSiteRequest: the method is unsafe, and the page is of another origin that is not allowed.
        """
        # A safe request changes nothing, and only pages that CORS allows read its answer.
        if scope["method"] in SAFE_METHODS or self._cors.allows(origin):
            return
        own = site in OWN_SITES if site is not None else _is_own(scope, hosts, origin or b"")
        if not own:
            page = f"of the origin {origin.decode('latin-1')[:200]!r}" if origin else "of another site"
            raise CrossSiteRequest(f"A page {page} may not send {scope['method']} requests to this server.")


def _is_own(scope: Scope, hosts: list[bytes], origin: bytes) -> bool:
    """Whether an origin is this API's own, as the browser sees it: its scheme, host and port."""
    own = f"{scope['scheme']}://{hosts[0].decode('latin-1')}" if hosts else ""
    return normalized(origin.decode("latin-1")) == normalized(own)
