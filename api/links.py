"""Links answer with the prefix that was asked: bare, or /v1."""

from starlette.requests import Request


def prefix(request: Request) -> str:
    return "/v1" if request.scope["path"].startswith("/v1/") else ""
