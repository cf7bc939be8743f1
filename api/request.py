"""Fields of a request: its id, method, path prefix, headers and query parameters.

Headers come from the raw list of the ASGI scope: building Starlette's Headers costs more than the search.
"""

import re
from contextvars import ContextVar

from fastapi import Depends
from fastapi.params import Depends as Dependency
from starlette.requests import Request
from starlette.types import Scope
from uuid_utils import uuid4

from shared.errors import InvalidRequest

RawHeaders = list[tuple[bytes, bytes]]

REQUEST_ID = b"x-request-id"
VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}")
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}  # they change nothing
HEAD = "HEAD"
HEAD_ALONE = "head_alone"
MAX_LIST_BYTES = 8192  # bytes
LISTS = {sep: re.compile(rf'(?:[^"{sep}]|"(?:[^"\\]|\\.)*"?)+') for sep in ",;"}

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the current request; every log line and every error names it."""


def choose_request_id(headers: RawHeaders) -> str:
    """The id that the client sent, if it is valid; else a new one."""
    for name, value in headers:
        if name == REQUEST_ID and VALID_REQUEST_ID.fullmatch(value):
            return value.decode()
    return uuid4().hex


def as_get(scope: Scope) -> Scope:
    """A HEAD request as a GET request: the routes of GET serve it, and the server leaves the body out."""
    return {**scope, "method": "GET", HEAD_ALONE: True}


def head_alone(scope: Scope) -> bool:
    """Whether the head alone is sent, so that a route need not make the body."""
    return HEAD_ALONE in scope


def method(request: Request) -> str:
    """The method as the client sent it."""
    return HEAD if head_alone(request.scope) else request.method


def prefix(request: Request) -> str:
    """The prefix of the request's path, for links in its answer: empty, or `/v1`."""
    return "/v1" if request.scope["path"].startswith("/v1/") else ""


def header(request: Request, name: bytes) -> str | None:
    """The value of a header that may be sent once; None without it.

    Args:
        request: the request.
        name: name of the header, in lower case.

    Raises:
        InvalidRequest: the header was sent more than once, so that its value could be read in two ways.
    """
    found: bytes | None = None
    for key, value in request.scope["headers"]:
        if key == name:
            if found is not None:
                hint = "Send the header once; a proxy in between may have added it."
                raise _refused(name, "was sent more than once", "header_sent_twice", hint)
            found = value
    return None if found is None else found.decode("latin-1")


def list_header(request: Request, name: bytes) -> str | None:
    """The value of a header that holds a list; several lines of it are one list (RFC 9110, 5.3).

    Raises:
        InvalidRequest: the list is longer than any client needs; 60,000 commas take 40 ms to read.
    """
    lines = [value for key, value in request.scope["headers"] if key == name]
    if not lines:
        return None
    listed = b", ".join(lines)
    if len(listed) > MAX_LIST_BYTES:
        raise _refused(
            name, f"is longer than {MAX_LIST_BYTES} bytes", "header_too_long", "Send a shorter list."
        )
    return listed.decode("latin-1")


def elements(text: str, separator: str = ",") -> list[str]:
    """The elements of a list without the empty ones; a separator within quotes belongs to its element."""
    found = (element.strip(" \t") for element in LISTS[separator].findall(text))
    return [element for element in found if element]


def name_and_value(element: str) -> tuple[str, str]:
    """The name, in lower case, and the value of `name=value`; quotes around the value are taken off."""
    name, _, value = element.partition("=")
    value = value.strip(" \t")
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return name.strip(" \t").lower(), value


def query_parameter(request: Request, name: str) -> str | None:
    """The value of a query parameter that may be sent once; None without it.

    Raises:
        InvalidRequest: the parameter was sent more than once, and only one of its values could count.
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


def once(*names: str) -> Dependency:
    """A dependency of a route that refuses these query parameters if they are sent more than once."""

    async def check(request: Request) -> None:  # a plain def would cost a thread for each request
        for name in names:
            query_parameter(request, name)

    dependency: Dependency = Depends(check)
    return dependency


def _refused(name: bytes, reason: str, kind: str, hint: str) -> InvalidRequest:
    title = name.decode("latin-1").title()
    message = f"The header {title} {reason}."
    return InvalidRequest(message, hint=hint, details=[{"path": title, "message": message, "kind": kind}])
