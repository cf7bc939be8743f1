"""Errors over HTTP: each exception, also the framework's, becomes a status and an envelope."""

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from api.request import HEAD, method, request_id
from shared.errors import (
    BacklogFull,
    FileInUse,
    FileNotFound,
    IdempotencyConflict,
    InvalidRequest,
    JobAlreadyFinished,
    JobExpired,
    JobNotFinished,
    JobNotFound,
    JobServerError,
    MalformedJson,
    QueueFull,
    QueueUnavailable,
    QuotaReached,
    StorageFull,
    StorageUnavailable,
    UnknownFile,
    UnknownJobType,
    WebhookNotFound,
    WebhooksDisabled,
)


class NotFound(JobServerError):
    code = "not_found"
    example = "There is nothing at '/job'."
    hint = "Use a path that /docs lists, unless API_DOCS is off."


class ArtifactNotFound(JobServerError):
    code = "artifact_not_found"
    example = "The job has no artifact 'out.png'."
    hint = "Use the `url` of one of the `artifacts` in the record of a completed job."


class MethodNotAllowed(JobServerError):
    code = "method_not_allowed"
    example = "PUT is not allowed at '/jobs'."
    hint = "Use a method that the header Allow names."


class PayloadTooLarge(JobServerError):
    code = "payload_too_large"
    example = "The body is larger than 1048576 bytes."
    hint = "Send less, or split the work into several jobs."


class PreconditionFailed(JobServerError):
    code = "precondition_failed"
    example = "The record has none of the versions in If-Match."
    hint = "Read it again, and send the `ETag` of that answer in If-Match, or leave If-Match out."


class RangeNotSatisfiable(JobServerError):
    code = "range_not_satisfiable"
    example = "The artifact has 18231 bytes."
    hint = "Ask for a part within the size in the header Content-Range, or leave Range out."


class UnsupportedMediaType(JobServerError):
    code = "unsupported_media_type"
    example = "The body is not declared as JSON."
    hint = "Send the header `Content-Type: application/json`."


class BadRequest(JobServerError):
    code = "bad_request"
    example = "The request is not valid HTTP/1.1."
    hint = "Send HTTP/1.1 as RFC 9112 has it; an HTTP library does."


class RequestTimeout(JobServerError):
    code = "request_timeout"
    example = "The head was not complete within 10 s."
    hint = "Send the whole request again, without a pause."
    retryable = True
    retry_after = 1


class HeadTooLarge(JobServerError):
    code = "head_too_large"
    example = "The head is larger than 65536 bytes."
    hint = "Send a shorter URL, and fewer or shorter headers; put long values into the body."


class TooManyConnections(JobServerError):
    code = "too_many_connections"
    example = "The server has no free connections."
    hint = "Wait for the time in Retry-After and connect again; use one connection for many requests."
    retryable = True
    retry_after = 1


class Unauthorized(JobServerError):
    code = "unauthorized"
    example = "The request carries no API key."
    hint = "Send a key as `Authorization: Bearer KEY` or as `X-API-Key: KEY`; the operator gives them out."


class Forbidden(JobServerError):
    code = "forbidden"
    example = "POST needs the scope 'write', or 'write:own', which this API key does not have."
    hint = "Use a key that has this scope; the operator gives them out."


class InvalidHost(JobServerError):
    code = "invalid_host"
    example = "The request has no Host header."
    hint = "Send one Host header: a name or an IP address, and the port after a colon."


class MisdirectedRequest(JobServerError):
    code = "misdirected_request"
    example = "This server does not answer for the host 'jobs.example.com'."
    hint = "Use localhost or an IP address, or let the operator add the host to API_ALLOWED_HOSTS."


class CrossSiteRequest(JobServerError):
    code = "cross_site_request"
    example = "A page of the origin 'https://app.example.com' may not send POST requests to this server."
    hint = "Let the operator add the page's origin to API_CORS_ORIGINS, or send the request from elsewhere."


class RateLimited(JobServerError):
    code = "rate_limited"
    example = "Requests a minute are limited to 100; left now: 0."
    hint = "Wait for the time in Retry-After and send the request again."
    retryable = True
    retry_after = 1


class ServerBusy(JobServerError):
    code = "server_busy"
    example = "The server holds as many large answers as it can."
    hint = (
        "Send the request again after Retry-After; a list is smaller with a lower limit, or without fields."
    )
    retryable = True
    retry_after = 1


class TooManyAtOnce(JobServerError):
    code = "too_many_at_once"
    example = "Waits of this caller that run here: 1000 of 1000."
    hint = "End one that runs, or wait for the time in Retry-After and send the request again."
    retryable = True
    retry_after = 1


class EmbeddingsLate(JobServerError):
    code = "embeddings_late"
    example = "The vectors were not ready within 60 s; the jobs were cancelled."
    hint = "Send the request again after Retry-After; the operator can start workers for the queue 'embed'."
    retryable = True
    retry_after = 1


class EmbeddingsFailed(JobServerError):
    code = "embeddings_failed"
    example = "The job 019ab1c2-7d10-7c4e-9a55-3f5b8f0e6d21 is failed: process_crashed: The process died."
    hint = "Read the errors in the record of that job."


STATUS: dict[type[JobServerError], int] = {
    BadRequest: 400,
    MalformedJson: 400,
    InvalidHost: 400,
    Unauthorized: 401,
    Forbidden: 403,
    CrossSiteRequest: 403,
    NotFound: 404,
    JobNotFound: 404,
    WebhookNotFound: 404,
    ArtifactNotFound: 404,
    FileNotFound: 404,
    MethodNotAllowed: 405,
    RequestTimeout: 408,
    JobAlreadyFinished: 409,
    JobNotFinished: 409,
    FileInUse: 409,
    JobExpired: 410,
    PreconditionFailed: 412,
    PayloadTooLarge: 413,
    UnsupportedMediaType: 415,
    RangeNotSatisfiable: 416,
    MisdirectedRequest: 421,
    InvalidRequest: 422,
    UnknownJobType: 422,
    UnknownFile: 422,
    IdempotencyConflict: 422,
    WebhooksDisabled: 422,
    RateLimited: 429,
    TooManyAtOnce: 429,
    BacklogFull: 429,
    QuotaReached: 429,
    HeadTooLarge: 431,
    JobServerError: 500,
    EmbeddingsFailed: 500,
    EmbeddingsLate: 503,
    ServerBusy: 503,
    QueueUnavailable: 503,
    QueueFull: 503,
    StorageUnavailable: 503,
    TooManyConnections: 503,
    StorageFull: 507,
}
NO_SLASH = "Leave out the slash at the end of the path, and any that is there twice; /docs lists the paths."
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


def error_response(error: JobServerError, headers: dict[str, str] | None = None) -> Response:
    """The envelope of an error, with its status and headers."""
    headers = dict(headers or {})
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, RequestTimeout):
        headers["Connection"] = "close"  # the server reads no more of the request
    envelope = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "request_id": request_id.get(),
        "details": error.details,
    }
    return Response(orjson.dumps(envelope), STATUS[type(error)], headers, "application/json")


def internal_error() -> Response:
    """Answer 500, for a fault of the server itself; the log has its traceback, under the request id."""
    return error_response(JobServerError("The server failed to handle this request."))


def add_error_handlers(app: FastAPI) -> None:
    """Answer every exception of a route, and the framework's own, with the envelope."""

    @app.exception_handler(JobServerError)
    async def handle(_: Request, error: JobServerError) -> Response:
        return error_response(error)

    @app.exception_handler(HTTPException)
    async def handle_framework(request: Request, error: HTTPException) -> Response:
        return error_response(_translate(error, request), _headers(error, request))

    @app.exception_handler(RequestValidationError)
    async def handle_validation(_: Request, error: RequestValidationError) -> Response:
        details = [
            {"path": _path(fault["loc"][1:]), "message": fault["msg"], "kind": fault["type"]}
            for fault in error.errors()
        ]
        return error_response(InvalidRequest("The request is not valid.", details=details))

    @app.exception_handler(Exception)  # the framework raises it again, and `RequestContext` logs it
    async def handle_unexpected(_: Request, __: Exception) -> Response:
        return internal_error()

    @app.exception_handler(ClientDisconnect)
    async def handle_disconnect(_: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)


def _path(parts: Sequence[Any]) -> str:
    """The path of a fault in the request, without the branches of unions that pydantic names too."""
    return ".".join(str(part) for part in parts if "[" not in str(part))


def _translate(error: HTTPException, request: Request) -> JobServerError:
    if error.status_code == 404:
        path = request.scope["path"]
        hint = NO_SLASH if path.endswith("/") or "//" in path else None
        return NotFound(f"There is nothing at {path[:200]!r}.", hint=hint)
    if error.status_code == 405:
        return MethodNotAllowed(f"{method(request)} is not allowed at {request.url.path[:200]!r}.")
    if error.status_code < 500:
        return InvalidRequest(str(error.detail))
    return JobServerError("The server failed to handle this request.")


def _headers(error: HTTPException, request: Request) -> dict[str, str]:
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return headers


def _allowed_methods(request: Request) -> list[str]:
    """The methods of all routes at this path; the framework names those of the first route alone."""
    scope = dict(request.scope)
    allowed = []
    for name in METHODS:
        scope["method"] = "GET" if name == HEAD else name
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            allowed.append(name)
    return allowed
