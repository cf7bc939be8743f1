"""The API process: accepts jobs over HTTP and answers with their records."""

from shared.dependencies import require

require("orjson", "pydantic")
