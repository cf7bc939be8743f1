"""Parameters of operations, as the OpenAPI document shows them.

The framework documents the query parameters that a route declares. The others are here: headers, query
parameters of routes that are called past the framework, and the descriptions of parameters in paths.
"""

from collections.abc import Mapping
from typing import Any

from api.idempotency import KEY, MAX_KEY_LENGTH
from api.waiting import MAX_WAIT
from shared.record import EXAMPLE_RECORD

JOB_ID = str(EXAMPLE_RECORD["job_id"])  # of all examples
FILE_ID = "file_019ab1c27d107c4e9a553f5b8f0e6d21"
Parameter = Mapping[str, Any]


def _parameter(name: str, where: str, description: str, **schema: Any) -> Parameter:
    return {"name": name, "in": where, "description": description, "required": False, "schema": schema}


def _header(name: str, description: str, **schema: Any) -> Parameter:
    return _parameter(name, "header", description, type="string", **schema)


WAIT = _parameter(
    "wait",
    "query",
    "Seconds to wait for the job to be done.",
    type="number",
    minimum=0,
    maximum=MAX_WAIT,
)
PREFER = _header("Prefer", "`wait=N`: the same, up to 60; it may be cut.")
IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "Requests of one caller with the same key, within 24 h, make one job; 410 once its record has expired.",
    pattern=f"^{KEY.pattern}$",
    maxLength=MAX_KEY_LENGTH,
)
IF_MATCH = _header(
    "If-Match",
    "Only if the record has the version of one of these `ETag`s; `W/` makes no difference.",
)
IF_MATCH_ARTIFACT = _header("If-Match", "Only if one of these is its `ETag`.")
IF_NONE_MATCH = _header("If-None-Match", "`ETag`s seen before, or `*`.")
RANGE = _header("Range", "`bytes=FIRST-LAST`: a part of it.")
IF_RANGE = _header("If-Range", "The part only if this is still its `ETag`.")
LAST_EVENT_ID = _header("Last-Event-ID", "The version of the last record that was seen.")
CONTENT_DISPOSITION = _header("Content-Disposition", "The file's name, as `attachment; filename=…`.")
REQUEST_ID = _header(
    "X-Request-ID",
    "Names the request in logs and answers; replaced unless it fits the header of the answer.",
)
IN_PATHS = {
    "{job_id}": ("The `job_id` of the record.", JOB_ID),
    "{file_id}": ("The `file_id` of the file.", FILE_ID),
    "/artifacts/{name}": ("The `name` of one of its `artifacts`.", "out.png"),
    "/job-types/{name}": ("The `type` of its jobs.", "echo"),
    "{host}": ("The receiver's host, as in the webhook's URL.", "example.com"),
}


def describe_path_parameters(path: str, parameters: list[dict[str, Any]]) -> None:
    """Add descriptions and examples to the parameters of a path."""
    for place, (description, example) in IN_PATHS.items():
        if place in path:
            name = place.rpartition("{")[2].removesuffix("}")
            [parameter] = [found for found in parameters if found["name"] == name]
            parameter["description"] = parameter["schema"]["description"] = description
            parameter["schema"]["examples"] = [example]
