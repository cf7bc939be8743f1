"""Query parameters that may be sent once."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request

from shared.errors import InvalidRequest


def single(request: Request, name: str) -> str | None:
    """The value of a query parameter, or None.

    Raises:
        InvalidRequest: the parameter was sent more than once, with values of which only one could count.
    """
    if not request.scope["query_string"]:
        return None
    values = request.query_params.getlist(name)
    if len(values) > 1:
        message = f"The query parameter {name} was sent more than once."
        raise InvalidRequest(
            message,
            hint=f"Send {name} once.",
            details=[{"path": name, "message": message, "kind": "parameter_sent_twice"}],
        )
    return values[0] if values else None


def once(*names: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency of a route that refuses these query parameters if they are sent more than once."""

    async def check(request: Request) -> None:  # a plain def would cost a thread for each request
        for name in names:
            single(request, name)

    return check
