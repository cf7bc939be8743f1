"""The OpenAPI document: the framework's, completed by the operations, their rules and the job types."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from api.configuration import Configuration
from api.error_envelope import ErrorEnvelope
from api.reference.access import describe_access
from api.reference.docs import add_docs
from api.reference.event_stream import ACTIVITY_EVENT, JOB_EVENT
from api.reference.headers import answer_header
from api.reference.operations import OPERATIONS
from api.reference.parameters import REQUEST_ID
from api.reference.rules import complete
from api.routes.bulk import BulkRequest
from api.routes.figures import LiveFigures
from api.submission import MAX_BATCH, Submissions
from shared import VERSION
from shared.job_type_loader import JobTypesByName
from shared.record import EXAMPLE_RECORD

SUBMISSION = "JobSubmission"
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
SCHEMAS: dict[type[BaseModel], JsonSchemaMode] = {
    ErrorEnvelope: "serialization",
    LiveFigures: "serialization",
    BulkRequest: "validation",
}
TAGS = [
    {"name": "jobs", "description": "Submit jobs; read, wait for, follow, list, cancel and repeat them."},
    {"name": "embeddings", "description": "Vectors of texts, for clients of OpenAI's API."},
    {"name": "webhooks", "description": "Deliveries of webhooks, redelivery, and the secrets of receivers."},
    {"name": "queues", "description": "How much waits in each queue; pause, resume and drain queues."},
    {"name": "workers", "description": "The live workers and their jobs."},
    {"name": "files", "description": "Upload, read and delete the files that jobs work on."},
    {"name": "job types", "description": "The job types, with the schemas of their params and results."},
    {"name": "health", "description": "For load balancers and orchestrators."},
    {"name": "server", "description": "For operators: how busy the queues and workers are."},
]


def describe(app: FastAPI, configuration: Configuration) -> None:
    """Let an application serve its OpenAPI document, and the reference at /docs, unless `API_DOCS` is off."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app, configuration)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    if app.openapi_url:
        add_docs(app)


def _build(app: FastAPI, configuration: Configuration) -> dict[str, Any]:
    document = get_openapi(
        **ABOUT, routes=app.routes, tags=TAGS, servers=[{"url": "/"}], webhooks=app.webhooks.routes
    )
    _drop_framework_errors(document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            complete(operation, OPERATIONS[operation["operationId"]], method.upper(), path)
    _describe_submissions(document, configuration.submissions, configuration.job_types)
    _add_schemas(document["components"]["schemas"])
    _name_requests(document)
    describe_access(document, closed=configuration.settings.closed)
    return document


def _describe_submissions(
    document: dict[str, Any], submissions: Submissions, job_types: JobTypesByName
) -> None:
    """Describe the bodies of submissions, which the framework does not know: a union of the job types."""
    union = submissions.json_schema()
    schemas = document["components"]["schemas"]
    schemas.update(union.pop("$defs"))
    schemas[SUBMISSION] = {"title": "Job submission", **union}
    paths, one = document["paths"], {"$ref": f"#/components/schemas/{SUBMISSION}"}
    examples, with_files = _examples(submissions, job_types)
    paths["/v1/jobs"]["post"]["requestBody"] = _body(one, examples | with_files)
    several = {
        "type": "object",
        "properties": {"jobs": {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_BATCH}},
        "required": ["jobs"],
        "additionalProperties": False,
    }
    batch = {"jobs": [example["value"] for example in examples.values()]}
    paths["/v1/jobs/batch"]["post"]["requestBody"] = _body(several, {"batch": {"value": batch}})


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def _examples(
    submissions: Submissions, job_types: JobTypesByName
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """A submission of each job type: those that are accepted as they stand, and those that need a file.

    `/docs` offers the first one to be sent as it is.
    """
    complete_ones, with_files = {}, {}
    for name, job_type in job_types.items():
        value = {"type": name, "params": job_type.example}
        if submissions.validate(value).files:
            summary = f"{job_type.summary} Put in the `file_id` of a file that you have uploaded."
            with_files[name] = {"summary": summary, "value": value}
        else:
            complete_ones[name] = {"summary": job_type.summary, "value": value}
    return complete_ones, with_files


def _add_schemas(schemas: dict[str, Any]) -> None:
    """Add the schemas that are no route's response model."""
    for model, mode in SCHEMAS.items():
        schema = model.model_json_schema(mode=mode, ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs"))
        schemas[model.__name__] = schema
    schemas["JobEvent"] = JOB_EVENT
    schemas["ActivityEvent"] = ACTIVITY_EVENT
    schemas["JobRecord"]["examples"] = [EXAMPLE_RECORD]  # the framework drops what is null, there too


def _drop_framework_errors(document: dict[str, Any]) -> None:
    """Drop the 422 that the framework documents wherever a path has a parameter; none is ever sent."""
    for methods in (*document["paths"].values(), *document["webhooks"].values()):
        for operation in methods.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _name_requests(document: dict[str, Any]) -> None:
    """Describe the id that every request may have, and every answer has."""
    components = document["components"]
    components["parameters"] = {"RequestId": REQUEST_ID}
    components["headers"] = {"RequestId": answer_header("X-Request-ID")}
    for methods in document["paths"].values():
        for operation in methods.values():
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/RequestId"})
            for answer in operation["responses"].values():
                headers = answer.setdefault("headers", {})
                headers["X-Request-ID"] = {"$ref": "#/components/headers/RequestId"}
