"""Header fields of a request, read from the raw list: the framework's mapping costs more."""

import re

from starlette.requests import Request

from shared.errors import InvalidRequest

LONGEST_LIST = 8192  # bytes
LISTS = {sep: re.compile(rf'(?:[^"{sep}]|"(?:[^"\\]|\\.)*"?)+') for sep in ",;"}

RawHeaders = list[tuple[bytes, bytes]]


def header(request: Request, name: bytes) -> str | None:
    """The value of a field that may be sent once, or None.

    Args:
        request: the request.
        name: of the field, in lower case.

    Raises:
        InvalidRequest: the field was sent more than once, and its values could be read in two ways.
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
    """The value of a field that holds a list, or None; several lines of it are one list (RFC 9110, 5.3).

    Raises:
        InvalidRequest: the list is longer than any client needs; 60,000 commas take 40 ms to read.
    """
    lines = [value for key, value in request.scope["headers"] if key == name]
    if not lines:
        return None
    listed = b", ".join(lines)
    if len(listed) > LONGEST_LIST:
        raise _refused(
            name, f"is longer than {LONGEST_LIST} bytes", "header_too_long", "Send a shorter list."
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


def _refused(name: bytes, reason: str, kind: str, hint: str) -> InvalidRequest:
    title = name.decode("latin-1").title()
    message = f"The header {title} {reason}."
    return InvalidRequest(message, hint=hint, details=[{"path": title, "message": message, "kind": kind}])
