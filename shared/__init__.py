"""What the API and the worker must agree on, and nothing else."""

from shared.dependencies import require

VERSION = "0.1.0"

require("orjson", "pydantic")
