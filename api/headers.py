"""Headers of a request, read where they lie: the framework's mapping of them costs more than the look."""

from starlette.requests import Request


def header(request: Request, name: bytes) -> str | None:
    """The first header of that name, in lower case, or None."""
    for key, value in request.scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None
