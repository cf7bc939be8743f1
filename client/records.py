"""What the server tells besides jobs: the files that were uploaded, and the lines of a job's log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file. In the params of a job it stands for its `file_id`.

    Attributes:
        name: what it was called when it was uploaded, if anything.
        size: in bytes.
        expires_at: it is kept until then, and for as long as the record of a job names it.
    """

    file_id: str
    name: str | None
    content_type: str
    size: int
    sha256: str
    created_at: datetime
    expires_at: datetime

    @classmethod
    def from_record(cls, record: Record) -> Self:
        told = {name: record[name] for name in cls.__slots__}
        times = {name: datetime.fromisoformat(told[name]) for name in ("created_at", "expires_at")}
        return cls(**told | times)


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something that the job wrote down.

    Attributes:
        seq: its number within the job, from 1.
        fields: what was given besides the message.
        raw: the line itself, as the server told it.
    """

    seq: int
    at: datetime
    attempt: int
    message: str
    fields: Record
    raw: Record = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(
            seq=record["seq"],
            at=datetime.fromisoformat(record["at"]),
            attempt=record["attempt"],
            message=record["message"],
            fields=record["fields"],
            raw=record,
        )


def time_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
