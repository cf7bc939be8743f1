"""Access, as the OpenAPI document shows it: keys, the errors without one, and receipts."""

from typing import Any

from api.errors import Forbidden, RateLimited, Unauthorized
from api.middleware.auth import is_open
from api.reference.rules import add_errors
from shared.record import JobReceipt, JobReceipts

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
RECEIPTS = {"JobRecord": "JobReceipt", "WebhookDeliveries": "JobReceipt", "JobBatch": "JobReceipts"}


def describe_access(document: dict[str, Any], *, closed: bool) -> None:
    """Describe the security of every operation: none, or a key and the errors without one."""
    for methods in (*document["paths"].values(), *document["webhooks"].values()):
        for operation in methods.values():
            operation["security"] = []
    if closed:
        _require_keys(document)


def _require_keys(document: dict[str, Any]) -> None:
    document["components"]["securitySchemes"] = SECURITY_SCHEMES | STREAM_SCHEME
    _describe_receipts(document)
    for path, methods in document["paths"].items():
        if not is_open(path):
            for operation in methods.values():
                operation["security"] = [{scheme: []} for scheme in SECURITY_SCHEMES]
                add_errors(operation, (Unauthorized, Forbidden, RateLimited))
    follow_job = document["paths"]["/v1/jobs/{job_id}/events"]["get"]
    follow_job["security"] += [{scheme: []} for scheme in STREAM_SCHEME]


def _describe_receipts(document: dict[str, Any]) -> None:
    """The second form of each answer that is a record: a receipt, for a key that may not read the job."""
    schemas = document["components"]["schemas"]
    for model in (JobReceipt, JobReceipts):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs")
        schemas[model.__name__] = schema
    for methods in document["paths"].values():
        for method in ("post", "delete"):
            for answer in methods.get(method, {"responses": {}})["responses"].values():
                media = answer.get("content", {}).get("application/json", {})
                record = media.get("schema", {}).get("$ref", "").rpartition("/")[2]
                if record in RECEIPTS:
                    receipt = {"$ref": f"#/components/schemas/{RECEIPTS[record]}"}
                    media["schema"] = {"anyOf": [media["schema"], receipt]}
