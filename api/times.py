"""Times in requests: RFC 3339 with an offset."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


def read_time(value: object) -> datetime:
    """The time of a text. Raises ValueError."""
    if not isinstance(value, str) or not RFC_3339.fullmatch(value):
        raise ValueError("must be a time like 2026-01-01T12:00:00Z")
    return datetime.fromisoformat(value.upper())


Time = Annotated[AwareDatetime, BeforeValidator(read_time)]
