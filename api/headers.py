"""Header fields of a request, read from the raw list: the framework's mapping costs more than the look."""

import re

from starlette.requests import Request

from shared.errors import InvalidRequest

LISTS = {sep: re.compile(rf'(?:[^"{sep}]|"(?:[^"\\]|\\.)*"?)+') for sep in ",;"}
ENTITY_TAG = re.compile(r'(?:W/)?"([^"]*)"')
ANY = "*"


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
                raise _sent_twice(name.decode("latin-1").title())
            found = value
    return None if found is None else found.decode("latin-1")


def list_header(request: Request, name: bytes) -> str | None:
    """The value of a field that holds a list, or None; several lines of it are one list (RFC 9110, 5.3)."""
    lines = [value for key, value in request.scope["headers"] if key == name]
    return b", ".join(lines).decode("latin-1") if lines else None


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


def entity_tags(request: Request, name: bytes, *, strong: bool = False) -> frozenset[str] | None:
    """The opaque tags that `If-Match` or `If-None-Match` lists, `*` among them if it was sent; or None.

    Args:
        request: the request.
        name: of the field, in lower case.
        strong: whether tags that are weak count as none (RFC 9110, 8.8.3.2).
    """
    listed = list_header(request, name)
    if listed is None:
        return None
    if listed.strip(" \t") == ANY:
        return frozenset((ANY,))
    found = (ENTITY_TAG.fullmatch(element) for element in elements(listed))
    return frozenset(tag[1] for tag in found if tag and not (strong and tag[0].startswith("W/")))


def matches(tags: frozenset[str], tag: object) -> bool:
    """Whether a list of entity tags names the tag of something that exists."""
    return ANY in tags or str(tag) in tags


def _sent_twice(name: str) -> InvalidRequest:
    message = f"The header {name} was sent more than once."
    return InvalidRequest(
        message,
        hint="Send the header once; a proxy in between may have added it.",
        details=[{"path": name, "message": message, "kind": "header_sent_twice"}],
    )
