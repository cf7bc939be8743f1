"""The fault suite: what breaks in production, broken here on purpose. `python -m chaos` runs it."""

from shared.dependencies import require

require("httpx", "redis", "uvicorn")
