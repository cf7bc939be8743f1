"""Models of changes of many jobs at once."""

from dataclasses import dataclass
from typing import Self

from client.models.record import Record, read, several


@dataclass(frozen=True, slots=True)
class BulkRefusal:
    """A job that was named by its id and not changed: missing, or in a state without this change."""

    job_id: str
    code: str
    message: str
    hint: str

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record)


@dataclass(frozen=True, slots=True)
class BulkChange:
    """Change of many jobs.

    Attributes:
        matched: number of jobs that the change applies to.
        changed: number of jobs that were changed; 0 in a dry run.
        job_ids: the new jobs of a retry.
        errors: the jobs that were named by their ids and could not be changed.
    """

    matched: int
    changed: int
    job_ids: tuple[str, ...] = ()
    errors: tuple[BulkRefusal, ...] = ()

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record, job_ids=tuple, errors=several(BulkRefusal.from_record))

    @classmethod
    def total(cls, changes: "list[Self]") -> Self:
        """Sum of the changes of several requests."""
        return cls(
            matched=sum(change.matched for change in changes),
            changed=sum(change.changed for change in changes),
            job_ids=tuple(job_id for change in changes for job_id in change.job_ids),
            errors=tuple(error for change in changes for error in change.errors),
        )


@dataclass(frozen=True, slots=True)
class BulkPage:
    """Answer to one request of a bulk change; the last page has no cursor."""

    change: BulkChange
    next_cursor: str | None

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return cls(BulkChange.from_record(record), record["next_cursor"])


@dataclass(frozen=True, slots=True)
class Drained:
    """End of a drain.

    Attributes:
        cancelled: number of jobs that were cancelled.
        remaining: number of jobs that wait even so, such as those that came meanwhile; 0 as a rule.
    """

    cancelled: int
    remaining: int

    @classmethod
    def from_record(cls, record: Record) -> Self:
        return read(cls, record)
