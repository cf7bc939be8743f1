"""Routes that are called directly, without the framework's work on parameters and results."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request and the parameters of its path, and returns a `Response`.

    The signature still makes the API reference. Resolving it for every request, and validating the
    result, would take longer than all that the hot paths themselves do.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            response: Response = await endpoint(request, **request.path_params)
            return response

        return handle
