"""Fields of a JSON object of the server, and times as it sends and takes them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

Record = Mapping[str, Any]

RECEIPT_FIELDS = {"job_id", "state", "done"}
"""Fields of every record that a key without a scope to read gets."""


def pick(record: Record, names: Iterable[str]) -> dict[str, Any]:
    return {name: record[name] for name in names}


def time_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def time_text(name: str, time: datetime) -> str:
    """Render a time of a request.

    Raises:
        ValueError: the time has no zone.
    """
    if time.tzinfo is None:
        raise ValueError(f"{name} has no time zone; give it one, such as datetime.UTC.")
    return time.isoformat()
