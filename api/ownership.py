"""Ownership: the limit of a key with an `:own` scope to its caller's jobs and files.

The functions `owner_…` return that caller, or None for a key without the limit. Jobs and files of other
callers are then answered as if they did not exist.
"""

from starlette.requests import Request

from api.errors import Forbidden
from api.keys.api_key import ApiKey, Scope


def owner_read(request: Request) -> str | None:
    """The owner that a request to read is limited to."""
    key: ApiKey | None = request.scope.get("key")
    return None if key is None or Scope.READ in key.scopes else key.name


def require_all_read(request: Request) -> None:
    """Require a key without the limit, for figures that reveal other callers' work. Raises Forbidden."""
    if owner_read(request) is not None:
        raise Forbidden(
            f"{request.method} {request.url.path} shows the work of all callers: it needs the scope 'read'."
        )


def owner_changed(request: Request) -> str | None:
    """The owner that a request to cancel, delete or redeliver is limited to."""
    key: ApiKey | None = request.scope.get("key")
    return None if key is None or Scope.WRITE in key.scopes else key.name


def owner_used(request: Request) -> str | None:
    """The owner of params and files that the job of a new request may use.

    A caller can read its new job, and through the job the params and files of other callers.
    """
    key: ApiKey | None = request.scope.get("key")
    if key is not None and Scope.READ_OWN in key.scopes:
        return key.name
    return owner_changed(request)


def may_read(request: Request, caller: str | None) -> bool:
    """Whether the request's key may read the record of a job that this caller submitted."""
    key: ApiKey | None = request.scope.get("key")
    return key is None or key.may_read(caller)
