"""Accepts work: HTTP in, records out."""

from shared.dependencies import require

require("orjson", "pydantic")
