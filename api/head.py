"""HEAD: served wherever GET is, by the same routes; the server sends their answer without its body."""

from starlette.requests import Request
from starlette.types import Scope

HEAD = "HEAD"
ASKED = "head_alone"


def as_get(scope: Scope) -> Scope:
    """A HEAD request as the GET request whose head it asks for."""
    return {**scope, "method": "GET", ASKED: True}


def head_alone(scope: Scope) -> bool:
    """Whether the head alone is sent, so that a route may spare itself the body."""
    return ASKED in scope


def method(request: Request) -> str:
    """The method as the client sent it."""
    return HEAD if head_alone(request.scope) else request.method
