"""Ownership: the jobs and files that a request may touch, by the scopes of its key.

The functions `owner_…` return the caller whose jobs and files alone a request may touch, or None for those of
all callers. Other callers' jobs and files are answered as if they did not exist.
"""

from starlette.requests import Request

from api.keys.api_key import ApiKey, Scope


def owner_read(request: Request) -> str | None:
    """The owner, for a request that reads."""
    key: ApiKey | None = request.scope.get("key")
    return None if key is None or Scope.READ in key.scopes else key.name


def owner_changed(request: Request) -> str | None:
    """The owner, for a request that cancels, deletes or sends again."""
    key: ApiKey | None = request.scope.get("key")
    return None if key is None or Scope.WRITE in key.scopes else key.name


def owner_used(request: Request) -> str | None:
    """The owner, for a request whose new job takes over params or files.

    A caller can read its new job. Through it, the caller could read params and files of others.
    """
    key: ApiKey | None = request.scope.get("key")
    if key is not None and Scope.READ_OWN in key.scopes:
        return key.name
    return owner_changed(request)


def may_read(request: Request, caller: str | None) -> bool:
    """Whether the request may be answered with the whole record of a job that this caller submitted."""
    key: ApiKey | None = request.scope.get("key")
    return key is None or key.may_read(caller)
