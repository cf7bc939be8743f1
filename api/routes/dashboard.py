"""The dashboard at /ui/: files of this package, served under a content security policy; the links at `/`."""

import re
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.conditions import entity_tags, etag_matches
from api.errors import NotFound
from api.state import state_of

INDEX = "index.html"
TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
HEADERS = {
    "Cache-Control": "no-cache",  # browsers keep the files, and check by their ETag before each use
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"  # no text can become markup or a script
    ),
    "Referrer-Policy": "no-referrer",
}
WANTS_HTML = re.compile(r"(^|[\s,])text/html\b", re.IGNORECASE)

root = APIRouter(include_in_schema=False)
router = APIRouter(prefix="/ui", include_in_schema=False)


class PageFile(NamedTuple):
    """A file of the dashboard.

    Attributes:
        content: its bytes.
        media_type: its type, by its extension.
        tag: its entity tag, without quotes.
    """

    content: bytes
    media_type: str
    tag: str


@root.get("/")
async def links(request: Request) -> Response:
    """Lead a browser to the dashboard; tell all others the paths of the API."""
    settings = state_of(request).settings
    shown = {"dashboard": "/ui/"} if settings.api_dashboard == "on" else {}
    if shown and WANTS_HTML.search(request.headers.get("accept", "")):
        return _redirect("ui/", {"Vary": "Accept"})
    reference = {"reference": "/docs", "openapi": "/openapi.json"} if settings.api_docs == "on" else {}
    paths = {"api": "/v1", "health": "/healthz", "readiness": "/readyz", **shown, **reference}
    prefix = request.scope.get("root_path", "")
    body = orjson.dumps({name: prefix + path for name, path in paths.items()})
    return Response(body, headers={"Vary": "Accept"}, media_type="application/json")


@router.get("")
async def dashboard_folder() -> Response:
    """Lead to the page, whose links begin at its folder."""
    return _redirect("ui/", {})


@router.get("/{path:path}")
async def dashboard_file(request: Request, path: str) -> Response:
    """A file of the dashboard, or 304 for a browser that has it."""
    file = page_files().get(path or INDEX)
    if file is None:
        raise NotFound(f"The dashboard has no file {path[:200]!r}.", hint="Open /ui/.")
    # Weak: the answer may be compressed.
    headers = {**HEADERS, "ETag": f'W/"{file.tag}"', "Vary": "Accept-Encoding"}
    tags = entity_tags(request, b"if-none-match")
    if tags is not None and etag_matches(tags, file.tag):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


@cache
def page_files() -> dict[str, PageFile]:
    """The files of the dashboard, by their paths in its folder; read once."""
    return dict(_files_in(files("api") / "dashboard"))


def _files_in(folder: Traversable, prefix: str = "") -> list[tuple[str, PageFile]]:
    found: list[tuple[str, PageFile]] = []
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            found += _files_in(entry, f"{path}/")
        elif media_type := TYPES.get(entry.name.rpartition(".")[2]):
            content = entry.read_bytes()
            found.append((path, PageFile(content, media_type, sha256(content).hexdigest()[:32])))
    return found


def _redirect(location: str, headers: dict[str, str]) -> Response:
    """A redirect to a relative path, which holds behind a proxy that adds a prefix."""
    return Response(status_code=307, headers={"Location": location, "Cache-Control": "no-cache", **headers})
