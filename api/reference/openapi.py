"""The API's description of itself: every job type's params, every error, an example of each."""

from typing import Annotated, Any

from fastapi import FastAPI, Path
from fastapi.openapi.utils import get_openapi

from api.configuration import Configuration
from api.errors import (
    STATUS,
    CrossSiteRequest,
    Forbidden,
    InvalidHost,
    MisdirectedRequest,
    RateLimited,
    Unauthorized,
)
from api.middleware.auth import is_open
from api.reference.docs import add_docs
from api.request import SAFE_METHODS, VALID_REQUEST_ID
from api.submission import MOST_IN_BATCH, Submissions
from shared import VERSION
from shared.errors import ErrorEnvelope, JobServerError
from shared.job_type_loader import JobTypesByName
from shared.record import EXAMPLE_RECORD, JobReceipt, JobReceipts

JOB_ID = str(EXAMPLE_RECORD["job_id"])  # of all examples
JobId = Annotated[str, Path(description="The `job_id` of the record.", examples=[JOB_ID])]
SUBMISSION = "JobSubmission"
SECURITY_SCHEMES = {
    "bearerAuth": {"type": "http", "scheme": "bearer"},
    "apiKeyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
STREAM_SCHEME = {
    "streamToken": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "Of one job, from `POST /v1/jobs/{job_id}/stream-token`.",
    }
}
DESCRIPTION = """\
Submit long-running work with `POST /v1/jobs`, then read `GET /v1/jobs/{job_id}` until `done` is true.

Every path is also served without `/v1`, and `HEAD` wherever `GET` is. Bodies may come in gzip or deflate;
answers above 1 kB leave in gzip for clients that accept it.

Every error has one form, the schema `ErrorEnvelope`, also those that come before any path is known:
400 `bad_request`, 408 `request_timeout`, 431 `head_too_large` and 503 `too_many_connections`.
"""
ABOUT: dict[str, Any] = {
    "title": "Job server",
    "summary": "An asynchronous job server for inference-like work.",
    "description": DESCRIPTION,
    "version": VERSION,
    "license_info": {"name": "MIT", "identifier": "MIT"},
}
TAGS = [
    {"name": "jobs", "description": "Submit jobs; read, wait for, follow, list, cancel and repeat them."},
    {"name": "webhooks", "description": "Who was told that a job has ended; and tell them again."},
    {"name": "files", "description": "Upload what jobs work on."},
    {"name": "job types", "description": "What a job can be, and what each type takes and gives."},
    {"name": "health", "description": "For load balancers and orchestrators."},
    {"name": "server", "description": "For operators: how busy the queues and workers are."},
]
HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Accept-Ranges": ("Parts can be asked for.", {"const": "bytes"}),
    "Content-Disposition": ("A download, by its name.", {"type": "string", "pattern": "^attachment; "}),
    "Content-Range": ("Which part it is, of how many bytes.", {"type": "string", "pattern": "^bytes "}),
    "ETag": ("The record's version, for `If-None-Match`.", {"type": "string", "pattern": r'^W/"\d+"$'}),
    "Idempotent-Replayed": ("An earlier request with this key made the job.", {"const": "true"}),
    "Location": ("Where the job, or the file, is.", {"type": "string", "format": "uri-reference"}),
    "Preference-Applied": ("The wait that was granted.", {"type": "string", "pattern": "^wait="}),
    "Retry-After": ("Seconds after which another look, or try, pays.", {"type": "integer", "minimum": 0}),
    "X-Request-ID": (
        "Finds the log lines of this request.",
        {"type": "string", "pattern": f"^{VALID_REQUEST_ID.pattern.decode()}$"},
    ),
}
LINKS = {
    "GetJob": ("get_job", "Read the job."),
    "FollowJob": ("follow_job", "Follow the job to its end."),
    "ReadLog": ("read_log", "Read what the job's handler wrote down."),
    "CancelJob": ("cancel_job", "Cancel the job, unless it is done."),
    "RetryJob": ("retry_job", "Do the job again, once it is done."),
}
JOB_EVENT = {
    "type": "object",
    "title": "JobEvent",
    "description": "One event of the stream of a job: its record, or a line of its log.",
    "properties": {
        "event": {"type": "string", "description": "`log` for a line of the log; absent for a record."},
        "id": {"type": "string", "description": "The record's version, for `Last-Event-ID`."},
        "retry": {
            "type": "integer",
            "description": "Milliseconds before a reader connects again; in the first event alone.",
        },
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/JobRecord"},
                    {"$ref": "#/components/schemas/LogLine"},
                ]
            },
        },
    },
    "required": ["data"],
}
# Generators fail on an object as the schema of a stream, or read the stream as JSON; as text, all take it.
# OpenAPI 3.2 calls the schema of one event `itemSchema`; under 3.1 it is an extension.
EVENT_STREAM = {
    "text/event-stream": {
        "schema": {"type": "string", "description": "Server-Sent Events, each as `JobEvent` has it."},
        "x-itemSchema": {"$ref": "#/components/schemas/JobEvent"},
    }
}
REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Names the request in logs and answers; replaced unless it fits the header of the answer.",
    "required": False,
    "schema": {"type": "string"},
}
KEY_ERRORS = (
    Unauthorized("The request carries no API key."),
    Forbidden("POST needs the scope 'write', or 'write:own', which this API key does not have."),
    RateLimited("The limit of 100 requests a minute is reached."),
)
HOST_ERRORS = (
    InvalidHost("The request has no Host header."),
    MisdirectedRequest("This server does not answer for the host 'jobs.example.com'."),
)
CROSS_SITE = CrossSiteRequest(
    "A page of the origin 'https://app.example.com' may not send POST requests to this server."
)
RECEIPTS = {"JobRecord": "JobReceipt", "WebhookDeliveries": "JobReceipt", "JobBatch": "JobReceipts"}
Responses = dict[int | str, dict[str, Any]]


def errors(*examples: JobServerError) -> Responses:
    """The error answers of a path, by status, each shown by an example."""
    responses: Responses = {}
    for error in examples:
        status = STATUS[type(error)]
        entry = responses.setdefault(
            status,
            {"model": ErrorEnvelope, "description": "", "content": {"application/json": {"examples": {}}}},
        )
        entry["description"] = " or ".join(filter(None, [entry["description"], f"`{error.code}`"]))
        if error.retry_after is not None:
            entry["headers"] = {"Retry-After": _header("Retry-After")}
        entry["content"]["application/json"]["examples"][error.code] = {"value": _example(error)}
    return responses


def success(
    description: str, *always: str, sometimes: tuple[str, ...] = (), links: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A successful answer with its headers and links; the route's response model gives the schema."""
    headers = {name: _header(name) for name in always}
    headers |= {name: _header(name, required=False) for name in sometimes}
    return {"description": description, "headers": headers, "links": links or {}}


def job_links(job_id: str = "/job_id") -> dict[str, Any]:
    """Links to the operations on a job whose id is at this place of the answer."""
    return {
        name: {
            "operationId": operation,
            "parameters": {"job_id": f"$response.body#{job_id}"},
            "description": description,
        }
        for name, (operation, description) in LINKS.items()
    }


def parameter(name: str, where: str, description: str, **schema: Any) -> dict[str, Any]:
    """A query parameter or header of a route that is called directly."""
    return {"name": name, "in": where, "description": description, "required": False, "schema": schema}


def describe(app: FastAPI, configuration: Configuration) -> None:
    """Let an application serve its document, and the reference at /docs, unless `API_DOCS` is off.

    The document adds to the framework's: the union of job types, the event of a stream, and how to send a key
    to a server that needs one.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app, configuration.submissions, configuration.job_types)
            _describe_access(app.openapi_schema, closed=configuration.settings.closed)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    if app.openapi_url:
        add_docs(app)


def _build(app: FastAPI, submissions: Submissions, job_types: JobTypesByName) -> dict[str, Any]:
    description = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=TAGS,
        servers=[{"url": "/"}],
        license_info=app.license_info,
        webhooks=app.webhooks.routes,
    )
    union = submissions.json_schema()
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(union.pop("$defs"))
    schemas[SUBMISSION] = {"title": "Job submission", **union}
    schemas["JobEvent"] = JOB_EVENT
    schemas["JobRecord"]["examples"] = [EXAMPLE_RECORD]  # the framework drops what is null, there too
    _drop_framework_errors(description)
    _describe_page_errors(description)
    _name_requests(description)
    paths, one = description["paths"], {"$ref": f"#/components/schemas/{SUBMISSION}"}
    examples, with_files = _examples(submissions, job_types)
    paths["/v1/jobs"]["post"]["requestBody"] = _body(one, examples | with_files)
    several = {
        "type": "object",
        "properties": {"jobs": {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_IN_BATCH}},
        "required": ["jobs"],
        "additionalProperties": False,
    }
    batch = {"jobs": [example["value"] for example in examples.values()]}
    paths["/v1/jobs/batch"]["post"]["requestBody"] = _body(several, {"batch": {"value": batch}})
    return description


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def _examples(
    submissions: Submissions, job_types: JobTypesByName
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """A submission of each job type: those that are accepted as they stand, and those that need a file.

    `/docs` offers the first one to be sent as it is.
    """
    complete, with_files = {}, {}
    for name, job_type in job_types.items():
        value = {"type": name, "params": job_type.example}
        if submissions.validate(value).files:
            summary = f"{job_type.summary} Put in the `file_id` of a file that you have uploaded."
            with_files[name] = {"summary": summary, "value": value}
        else:
            complete[name] = {"summary": job_type.summary, "value": value}
    return complete, with_files


def _describe_access(description: dict[str, Any], *, closed: bool) -> None:
    """The security of every operation: a key, and the errors without one, or none."""
    for methods in (*description["paths"].values(), *description["webhooks"].values()):
        for operation in methods.values():
            operation["security"] = []
    if closed:
        _require_keys(description)


def _require_keys(description: dict[str, Any]) -> None:
    """Describe keys, and the errors without one, at every path that needs a key."""
    description["components"]["securitySchemes"] = SECURITY_SCHEMES | STREAM_SCHEME
    _describe_receipts(description)
    for path, methods in description["paths"].items():
        if not is_open(path):
            for operation in methods.values():
                operation["security"] = [{scheme: []} for scheme in SECURITY_SCHEMES]
                _add_errors(operation, *KEY_ERRORS)
    follow_job = description["paths"]["/v1/jobs/{job_id}/events"]["get"]
    follow_job["security"] += [{scheme: []} for scheme in STREAM_SCHEME]


def _describe_page_errors(description: dict[str, Any]) -> None:
    """Errors of requests that name a wrong host, or come from pages of other origins, at every path."""
    for methods in description["paths"].values():
        for method, operation in methods.items():
            _add_errors(operation, *HOST_ERRORS)
            if method.upper() not in SAFE_METHODS:
                _add_errors(operation, CROSS_SITE)


def _add_errors(operation: dict[str, Any], *examples: JobServerError) -> None:
    """Add errors to those that an operation documents itself."""
    for status, answer in errors(*examples).items():
        known = operation["responses"].setdefault(str(status), {**answer, "description": ""})
        known["description"] = " or ".join(filter(None, [known["description"], answer["description"]]))
        media, added = known["content"]["application/json"], answer["content"]["application/json"]
        media["examples"] = {**media["examples"], **added["examples"]}
        schema = f"#/components/schemas/{answer['model'].__name__}"
        media.setdefault("schema", {"$ref": schema})
        known.pop("model", None)


def _describe_receipts(description: dict[str, Any]) -> None:
    """The second form of each answer that is a record: a receipt, for a key that may not read the job."""
    schemas = description["components"]["schemas"]
    for model in (JobReceipt, JobReceipts):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs")
        schemas[model.__name__] = schema
    for methods in description["paths"].values():
        for method in ("post", "delete"):
            for answer in methods.get(method, {"responses": {}})["responses"].values():
                media = answer.get("content", {}).get("application/json", {})
                record = media.get("schema", {}).get("$ref", "").rpartition("/")[2]
                if record in RECEIPTS:
                    receipt = {"$ref": f"#/components/schemas/{RECEIPTS[record]}"}
                    media["schema"] = {"anyOf": [media["schema"], receipt]}


def _drop_framework_errors(description: dict[str, Any]) -> None:
    """The framework documents a 422 of its own wherever a path has a parameter; none is ever sent."""
    for methods in (*description["paths"].values(), *description["webhooks"].values()):
        for operation in methods.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        description["components"]["schemas"].pop(name, None)


def _name_requests(description: dict[str, Any]) -> None:
    """Every request may have a name, and every answer has one."""
    components = description["components"]
    components["parameters"] = {"RequestId": REQUEST_ID}
    components["headers"] = {"RequestId": _header("X-Request-ID")}
    for methods in description["paths"].values():
        for operation in methods.values():
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/RequestId"})
            for answer in operation["responses"].values():
                headers = answer.setdefault("headers", {})
                headers["X-Request-ID"] = {"$ref": "#/components/headers/RequestId"}


def _header(name: str, *, required: bool = True) -> dict[str, Any]:
    description, schema = HEADERS[name]
    return {"description": description, "required": required, "schema": schema}


def _example(error: JobServerError) -> dict[str, Any]:
    envelope = ErrorEnvelope(
        code=error.code,
        message=error.message,
        hint=error.hint,
        retryable=error.retryable,
        request_id="5f1c0e9a4b7d4e3f8a6b2c1d0e9f8a7b",
        details=error.details,
    )
    return envelope.model_dump()
