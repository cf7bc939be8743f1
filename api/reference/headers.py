"""Headers of answers, as the OpenAPI document shows them."""

from typing import Any

from api.request import VALID_REQUEST_ID

HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Accept-Ranges": ("Ranges are supported.", {"const": "bytes"}),
    "Content-Disposition": (
        "The file's name, for a download.",
        {"type": "string", "pattern": "^attachment; "},
    ),
    "Content-Range": ("The part, and the size of the whole.", {"type": "string", "pattern": "^bytes "}),
    "ETag": ("The record's version, for `If-None-Match`.", {"type": "string", "pattern": r'^W/"\d+"$'}),
    "Idempotent-Replayed": ("An earlier request with this key made the job.", {"const": "true"}),
    "Location": ("URL of the job, or of the file.", {"type": "string", "format": "uri-reference"}),
    "Preference-Applied": ("The wait that was granted.", {"type": "string", "pattern": "^wait="}),
    "Retry-After": ("Seconds until the next read, or the next try.", {"type": "integer", "minimum": 0}),
    "X-Request-ID": (
        "Finds the log lines of this request.",
        {"type": "string", "pattern": f"^{VALID_REQUEST_ID.pattern.decode()}$"},
    ),
}
"""Headers of answers: description and schema."""


def answer_header(name: str, *, required: bool = True) -> dict[str, Any]:
    """A header of an answer; not required if some answers of that status go without it."""
    description, schema = HEADERS[name]
    return {"description": description, "required": required, "schema": schema}
