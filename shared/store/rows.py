"""Layouts of the rows that scripts take and return: the order of a row's words, spelled once.

In a script, the name of a row and a field stand for the word's index: with `at` words before the row,
`ARGV[at + SUBMISSION.queue]` is its queue, and `#SUBMISSION` the number of its words. The numbers are put in
when the script is loaded, so they cost nothing when it runs.
"""

import re
from typing import NamedTuple


class SubmissionRow(NamedTuple):
    """A new job. Its further fields follow, as pairs of name and value.

    Attributes:
        due: milliseconds since the epoch; at once if that has passed.
        delay: milliseconds to wait besides.
        start_within: milliseconds after it is due in which it must start; 0: any time.
        max_waiting: jobs that may wait in its queue.
        idempotency_key: the key in Redis, or empty.
        digest: hexadecimal; differs between requests for different work.
        idempotency_seconds: the time for which the idempotency key is kept.
        files: ids of the uploaded files that the job names, separated by spaces.
        field_words: the number of words that follow.
    """

    job_id: str
    type: str
    queue: str
    due: int
    delay: int
    start_within: int
    max_waiting: int
    idempotency_key: str
    digest: str
    idempotency_seconds: int
    files: str
    field_words: int


class FinishedRow(NamedTuple):
    """A finished attempt.

    Attributes:
        lease: `fencing_token:job_id`.
        outcome: `completed`, `failed`, `retry`, `cancelled` or `released`.
        body: the result (completed) or the error (failed, retry), JSON; else empty.
        delay: milliseconds until the job is due again.
        progress: JSON; empty to leave the record's as it is.
        lines: lines of the job's log, as `append_lines` takes them.
        artifacts: JSON; empty without any; counts for completed jobs.
    """

    queue: str
    job_id: str
    lease: str
    outcome: str
    body: bytes
    delay: int
    progress: bytes
    lines: bytes
    artifacts: bytes


class ClaimRow(NamedTuple):
    """A claim in the reply to a step."""

    queue: bytes
    job_id: bytes
    fencing_token: int
    attempt: int
    max_attempts: bytes
    message: bytes
    params: bytes
    request_id: bytes


class ReportRow(NamedTuple):
    """Progress and log lines of a running attempt, each empty if there are none."""

    queue: str
    job_id: str
    fencing_token: int
    progress: bytes
    lines: bytes


ROWS: dict[str, tuple[str, ...]] = {
    "SUBMISSION": SubmissionRow._fields,
    "FINISHED": FinishedRow._fields,
    "CLAIM": ClaimRow._fields,
    "REPORT": ReportRow._fields,
}
INDEX = re.compile(rf"\b({'|'.join(ROWS)})\.(\w+)")
LENGTH = re.compile(rf"#({'|'.join(ROWS)})\b")


def numbered(source: str) -> str:
    """The source of a script with numbers in place of its rows' names.

    Raises:
        ValueError: the source names a field that its row does not have.
    """
    source = INDEX.sub(lambda found: str(ROWS[found[1]].index(found[2]) + 1), source)
    return LENGTH.sub(lambda found: str(len(ROWS[found[1]])), source)
