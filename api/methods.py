"""Methods: those that are safe, and HEAD, which the routes of GET serve; the server leaves the body out."""

from starlette.requests import Request
from starlette.types import Scope

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}  # they change nothing
HEAD = "HEAD"
HEAD_ALONE = "head_alone"


def as_get(scope: Scope) -> Scope:
    """A HEAD request as a GET request."""
    return {**scope, "method": "GET", HEAD_ALONE: True}


def head_alone(scope: Scope) -> bool:
    """Whether the head alone is sent, so that a route need not make the body."""
    return HEAD_ALONE in scope


def method(request: Request) -> str:
    """The method as the client sent it."""
    return HEAD if head_alone(request.scope) else request.method
