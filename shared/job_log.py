"""The log of a job: the lines that its handler writes while it runs.

The last 1,000 lines of a job are kept: `shared/store/scripts/parts/log.lua`.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field, JsonValue

from shared.answer import ALWAYS_SENT


class LogLine(BaseModel):
    """A line of a job's log."""

    model_config = ALWAYS_SENT

    seq: Annotated[int, Field(ge=1, description="The line's number within the job, from 1.")]
    at: Annotated[datetime, Field(description="When it was written.")]
    attempt: Annotated[int, Field(description="The attempt that wrote it.")]
    message: str
    fields: Annotated[dict[str, JsonValue], Field(description="Further fields that the handler gave.")] = {}


class StoredLine:
    """A line as Redis holds it: JSON, with the time in ms, and the record's version that announced it."""

    def __init__(self, stored: bytes) -> None:
        self._line: dict[str, Any] = orjson.loads(stored)

    @property
    def seq(self) -> int:
        return int(self._line["seq"])

    @property
    def version(self) -> int:
        return int(self._line["version"])

    def to_json(self) -> bytes:
        """The line as clients see it, in the field order of `LogLine`."""
        line = self._line
        return orjson.dumps(
            {
                "seq": line["seq"],
                "at": datetime.fromtimestamp(line["at"] / 1000, UTC),
                "attempt": line["attempt"],
                "message": line["message"],
                "fields": line["fields"],
            },
            option=orjson.OPT_UTC_Z,
        )
