"""Conditions of requests: `If-Match` and `If-None-Match`, and the entity tags that they name."""

import re

from starlette.requests import Request
from starlette.responses import Response

from api.errors import PreconditionFailed
from api.request import elements, list_header

ENTITY_TAG = re.compile(r'(?:W/)?"([^"]*)"')
VERSION = re.compile(r"[1-9][0-9]{0,17}")
ANY = '"any"'  # no tag holds a quote: `"*"` is a tag, and `*` is any
OTHER_VERSION = "The record has none of the versions in If-Match."


def entity_tags(request: Request, name: bytes, *, strong: bool = False) -> frozenset[str] | None:
    """The opaque tags in `If-Match` or `If-None-Match`, ANY for `*`; None without the header.

    Args:
        request: the request.
        name: name of the header, in lower case.
        strong: whether to leave out weak tags (RFC 9110, 8.8.3.2).
    """
    listed = list_header(request, name)
    if listed is None:
        return None
    if listed.strip(" \t") == "*":
        return frozenset((ANY,))
    found = (ENTITY_TAG.fullmatch(element) for element in elements(listed))
    return frozenset(tag[1] for tag in found if tag and not (strong and tag[0].startswith("W/")))


def etag_matches(tags: frozenset[str], tag: int | str) -> bool:
    """Whether a list of entity tags names the tag of a resource that exists."""
    return ANY in tags or str(tag) in tags


def record_tag(version: int) -> str:
    """The entity tag of a record. Weak: a pending job's queue position changes without its record."""
    return f'W/"{version}"'


def require_version(wanted: frozenset[str] | None, version: int) -> None:
    """Refuse a request whose `If-Match` names other versions.

    The tags are weak, and match nothing by RFC 9110. Here they match, because a client compares
    versions alone.

    Raises:
        PreconditionFailed: the record has another version.
    """
    if wanted is not None and not etag_matches(wanted, version):
        raise PreconditionFailed(OTHER_VERSION)


def versions(wanted: frozenset[str] | None) -> list[int] | None:
    """The versions that `If-Match` names; None without a condition."""
    if wanted is None or ANY in wanted:
        return None
    return [int(tag) for tag in wanted if VERSION.fullmatch(tag)]


def not_modified(version: int) -> Response:
    """Answer 304, for a client that has this version of the record."""
    return Response(status_code=304, headers={"ETag": record_tag(version)})
