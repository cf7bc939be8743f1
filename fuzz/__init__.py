"""The fuzzer: requests made from the served OpenAPI document. `python -m fuzz` runs it."""

from shared.dependencies import require

require("httpx", "redis", "schemathesis")
