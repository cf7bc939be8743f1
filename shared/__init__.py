"""The agreement of API and worker: records, errors, settings, the store. Neither process is known here."""

from shared.dependencies import require

VERSION = "0.1.0"

require("orjson", "pydantic")
