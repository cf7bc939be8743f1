"""Lists of jobs: their filters and pages, as the script `list` takes and returns them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from shared.record import SUMMARY, JobState
from shared.store.client import Argument
from shared.store.redis_calls import as_dict
from shared.store.rows import ListRow
from shared.stored_record import StoredRecord

SCANNED_AT_ONCE = 700  # entries of an index, about 3 ms; Redis does nothing else meanwhile
LARGEST_PAGE_BYTES = 4 * 1024 * 1024  # of the JSON of several records
STORED_PAYLOAD = {"params": ("params", "params_shown"), "result": ("result",)}
PLACE = ("created_at", "run_at", "expires_at")  # by which the pages of shards are merged
SHOWN_OF_ID = 28  # characters: all but the random bytes and the shard, so that ids keep their order
"""Of the id in the cursor of one caller's list: the job may be another caller's, and its id stays hidden."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions for the jobs of a list; a job must meet all that are given.

    Attributes:
        created_after, created_before: milliseconds since the epoch; the second one is exclusive.
    """

    state: JobState | None = None
    type: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    caller: str = ""
    queue: str = ""
    created_after: int | None = None
    created_before: int | None = None

    def matches(self, record: StoredRecord) -> bool:
        """Whether a record meets all conditions but that of its state."""
        created_at = int(record.fields[b"created_at"])
        labels = orjson.loads(record.fields.get(b"labels", b"{}")) if self.labels else {}
        return (
            self.type in ("", record.type)
            and self.queue in ("", record.queue)
            and self.caller in ("", record.caller)
            and (self.created_after is None or created_at >= self.created_after)
            and (self.created_before is None or created_at < self.created_before)
            and self.labels.items() <= labels.items()
        )


Cursor = tuple[str, str]
"""The end of a page: a score and an id of the index."""


class Page(NamedTuple):
    """Some jobs, and the cursor of the next page; None at the end.

    Attributes:
        incomplete: whether jobs are missing, because a shard does not answer.
    """

    records: list[StoredRecord]
    next: Cursor | None
    incomplete: bool = False


def words_of(
    filters: Filters, limit: int, after: Cursor | None, payload: Collection[str] | None
) -> list[Argument]:
    """The arguments of the script for one page; of ids, states and times alone if the payload is None."""
    labels = [word for pair in filters.labels.items() for word in pair]
    score, last = after or ("", "")
    fields = ["state", *PLACE]
    if payload is not None:
        fields = [*SUMMARY, *(field for name in payload for field in STORED_PAYLOAD[name])]
    head = ListRow(
        filters.state or "",
        filters.type,
        limit,
        LARGEST_PAGE_BYTES,
        SCANNED_AT_ONCE,
        score,
        last,
        filters.caller,
        filters.queue,
        "" if filters.created_after is None else filters.created_after,
        "" if filters.created_before is None else filters.created_before,
        len(fields),
    )
    return [*head, *fields, *labels]


def page_of(filters: Filters, score: bytes, last: bytes, found: Sequence[Sequence[Any]]) -> Page:
    """The page that the script has found."""
    records = [StoredRecord(job_id.decode(), as_dict(pairs)) for job_id, *pairs in found]
    if filters.caller:
        last = last[:SHOWN_OF_ID]
    return Page(records, (score.decode(), last.decode()) if last else None)
