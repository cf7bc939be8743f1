"""Direct routes: the hot routes, called past the framework."""

from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import error_response
from api.request import HEAD, as_get
from shared.errors import JobServerError

ROUTE = "route"  # in the scope of a request; the framework sets it for its own routes


def route_of(scope: Scope) -> str | None:
    """The template of a request's path, such as `/v1/jobs/{job_id}`; None before the route is found."""
    route = scope.get(ROUTE)
    if route is None:
        return None
    path: str = route if isinstance(route, str) else route.path
    return f"/v1{path}" if scope["path"].startswith("/v1/") else path


class DirectRouter(APIRouter):
    """A router whose endpoints are called past the framework, with the request and its path parameters.

    Such an endpoint reads query parameters and headers from the request. The framework resolves none for it.
    """


class DirectRoutes:
    """The layer that calls the endpoints of direct routers.

    A HEAD request goes on as GET, to the framework as well: the server leaves the body out.

    The framework documents these routes, and answers all other requests. Its own way to an endpoint (layers
    of middleware, two routers, parameters resolved for every request) takes longer than all that the hot
    paths themselves do.
    """

    def __init__(self, app: ASGIApp, routers: Iterable[APIRouter], prefixes: Iterable[str]) -> None:
        self._app = app
        self._routes = [
            (route.methods or (), compile_path(prefix + route.path)[0], route.endpoint, route.path)
            for prefix in prefixes
            for router in routers
            if isinstance(router, DirectRouter)
            for route in router.routes
            if isinstance(route, APIRoute)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = scope
        if scope["type"] == "http":
            if scope["method"] == HEAD:
                scope = as_get(scope)
            for methods, pattern, endpoint, template in self._routes:
                if scope["method"] in methods and (found := pattern.match(scope["path"])):
                    given[ROUTE] = template
                    request = Request(scope, receive)
                    try:
                        response = await endpoint(request, **found.groupdict())
                    except JobServerError as error:
                        response = error_response(error)
                    except ClientDisconnect:
                        response = Response(status_code=499)
                    await response(scope, receive, send)
                    return
        try:
            await self._app(scope, receive, send)
        finally:
            if scope is not given:
                given[ROUTE] = scope.get(ROUTE)
