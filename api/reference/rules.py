"""Rules: the parts of an operation that follow from its path, its parameters and the schema of its answers.

- An operation on a path with `{job_id}` answers 404 and 410, on one with `{file_id}` 404.
- An operation that asks Redis answers 503.
- An answer that is a job's record has its `ETag`.
- An answer that is the record of a job or a file has links, and after a POST a Location.
- With If-Match an operation answers 412, with `wait` 429, with Idempotency-Key 410 and 422.
- With `wait` a successful answer may have Preference-Applied, with Idempotency-Key Idempotent-Replayed.
- A request that names a wrong host gets 400 or 421; an unsafe one from a page of another origin gets 403.
"""

from collections.abc import Iterable
from typing import Any

from api.error_envelope import ErrorEnvelope
from api.errors import (
    STATUS,
    CrossSiteRequest,
    InvalidHost,
    MisdirectedRequest,
    PreconditionFailed,
    TooManyAtOnce,
)
from api.reference.headers import answer_header
from api.reference.links import FILE_LINKS, JOB_LINKS
from api.reference.operation import Answer, Error, Operation
from api.reference.parameters import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    JOB_ID,
    WAIT,
    describe_path_parameters,
)
from api.request import SAFE_METHODS
from shared.errors import (
    FileNotFound,
    IdempotencyConflict,
    JobExpired,
    JobNotFound,
    JobServerError,
    QueueUnavailable,
)
from shared.store.missing_jobs import key_expired

RECORDS = {"JobRecord": JOB_LINKS, "UploadedFile": FILE_LINKS}
"""Schemas of records, and the links of an answer that is one."""


def complete(described: dict[str, Any], operation: Operation, method: str, path: str) -> None:
    """Complete the framework's description of an operation."""
    described["summary"] = operation.summary
    parameters = described.setdefault("parameters", [])
    describe_path_parameters(path, parameters)
    parameters += operation.parameters
    if operation.body:
        described["requestBody"] = operation.body
    responses = described["responses"]
    for status, answer in operation.answers.items():
        responses.setdefault(str(status), {}).update(_answer(answer))
    for status, response in responses.items():
        if status < "300":
            _complete_answer(response, operation, method, operation.answers.get(int(status)))
    for errors in (
        _errors_of_path(operation, path),
        operation.errors,
        _errors_of_parameters(operation),
        (InvalidHost, MisdirectedRequest),
    ):
        add_errors(described, errors)
    if method not in SAFE_METHODS:
        add_errors(described, [CrossSiteRequest])


def add_errors(described: dict[str, Any], errors: Iterable[Error]) -> None:
    """Add error answers to the description of an operation, each shown by an example."""
    for found in errors:
        error = found if isinstance(found, JobServerError) else found(found.example)
        response = described["responses"].setdefault(str(STATUS[type(error)]), _error_response())
        codes = response["content"]["application/json"]["examples"]
        if error.code not in codes:
            response["description"] = " or ".join(filter(None, [response["description"], f"`{error.code}`"]))
        codes[error.code] = {"value": _envelope(error)}
        if error.retry_after is not None:
            response.setdefault("headers", {})["Retry-After"] = answer_header("Retry-After")


def _errors_of_path(operation: Operation, path: str) -> Iterable[Error]:
    if "{job_id}" in path:
        yield from (JobNotFound, JobExpired)
    if "{file_id}" in path:
        yield FileNotFound
    if operation.asks_redis:
        yield QueueUnavailable


def _errors_of_parameters(operation: Operation) -> Iterable[Error]:
    if IF_MATCH in operation.parameters:
        yield PreconditionFailed
    if IDEMPOTENCY_KEY in operation.parameters:
        yield from (IdempotencyConflict, key_expired(JOB_ID))
    if WAIT in operation.parameters:
        yield TooManyAtOnce


def _answer(answer: Answer) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.content:
        described["content"] = answer.content
    elif answer.schema:
        schema = {"$ref": f"#/components/schemas/{answer.schema}"}
        described["content"] = {"application/json": {"schema": schema}}
    headers = {name: answer_header(name) for name in answer.always}
    headers |= {name: answer_header(name, required=False) for name in answer.sometimes}
    if headers:
        described["headers"] = headers
    if answer.links:
        described["links"] = answer.links
    return described


def _complete_answer(
    response: dict[str, Any], operation: Operation, method: str, answer: Answer | None
) -> None:
    """Add the headers and links that a successful answer has by rule."""
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    record = schema.get("$ref", "").rpartition("/")[2]
    headers = response.setdefault("headers", {})
    if record in RECORDS:
        response.setdefault("links", RECORDS[record])
        if method == "POST":
            headers["Location"] = answer_header("Location")
    if record == "JobRecord":
        headers["ETag"] = answer_header("ETag")
    if WAIT in operation.parameters:
        headers.setdefault("Preference-Applied", answer_header("Preference-Applied", required=False))
    if IDEMPOTENCY_KEY in operation.parameters:
        headers["Idempotent-Replayed"] = answer_header("Idempotent-Replayed", required=False)


def _error_response() -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{ErrorEnvelope.__name__}"}
    return {"description": "", "content": {"application/json": {"schema": schema, "examples": {}}}}


def _envelope(error: JobServerError) -> dict[str, Any]:
    envelope = ErrorEnvelope(
        code=error.code,
        message=error.message,
        hint=error.hint,
        retryable=error.retryable,
        request_id="5f1c0e9a4b7d4e3f8a6b2c1d0e9f8a7b",
        details=error.details,
    )
    return envelope.model_dump()
