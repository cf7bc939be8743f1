"""Models of uploaded files."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from client.models.record import Record, read, time_of


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file. In the params of a job it stands for its `file_id`.

    Attributes:
        name: its name at the upload, if any.
        size: in bytes.
        expires_at: the file is kept until then, and for as long as the record of a job names it.
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
        return read(cls, record, created_at=time_of, expires_at=time_of)
