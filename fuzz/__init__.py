"""Requests made from the served OpenAPI document: `python -m fuzz`."""

from shared.dependencies import require

require("httpx", "redis", "schemathesis")
