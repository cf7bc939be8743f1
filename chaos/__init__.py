"""The fault suite: the faults of production, injected on purpose. `python -m chaos` runs it."""

from shared.dependencies import require

require("httpx", "redis", "uvicorn")
