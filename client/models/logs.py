"""Models of a job's log and output."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from client.models.record import Record, read, time_of


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a job's log.

    Attributes:
        seq: its number within the job, from 1.
        fields: the named values beside the message.
        raw: the whole line, as the server sent it.
    """

    seq: int
    at: datetime
    attempt: int
    message: str
    fields: Record
    raw: Record = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record, at=time_of)

    @classmethod
    def from_log(cls, log: Record) -> list[Self]:
        return list(map(cls.from_record, log["items"]))


@dataclass(frozen=True, slots=True)
class OutputChunk:
    """A chunk of a job's output.

    Attributes:
        run: the number of the run that emitted it; each run begins the output anew.
        attempt: the attempt that the run makes.
        seq: its number within the run, from 1.
        value: any value of JSON, such as a piece of text.
    """

    run: int
    attempt: int
    seq: int
    value: Any

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(record["run"], record["attempt"], record["seq"], record["chunk"])

    def __str__(self) -> str:
        """The value as text; JSON of values that are no text."""
        return self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False)
