"""The service on one machine: an embedded Redis, the processes for demo and tests, and the demo."""

from shared.dependencies import require

require("honcho", "packaging", "uvicorn")
