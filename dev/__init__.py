"""Everything on one machine: an embedded Redis, the stack for demos and tests, and the demo itself."""

from shared.dependencies import require

require("honcho", "packaging", "uvicorn")
