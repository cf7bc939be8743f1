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


class PrepareRow(NamedTuple):
    """The head of a part of a large batch.

    Attributes:
        batch: the batch's id.
        created_at: of all its jobs; milliseconds by Redis' clock.
        patience: milliseconds in which the batch must go on.
        prepared: jobs of the batch that parts before have prepared.
        others: jobs of the batch that are in other parts, and surely new.
        quota: as `submit` takes it.
    """

    batch: str
    created_at: int
    patience: int
    prepared: int
    others: int
    quota: str


class CommitRow(NamedTuple):
    """The head of a commit.

    Attributes:
        batch: the batch's id.
        created_at: of all its jobs.
        jobs: its prepared jobs.
        quota: as `submit` takes it.
        max_waiting: jobs that may wait in one queue.
    """

    batch: str
    created_at: int
    jobs: int
    quota: str
    max_waiting: int


class GroupRow(NamedTuple):
    """Jobs of a queue that are due alike. Their ids follow.

    Attributes:
        due, delay, start_within: as in a SubmissionRow.
        jobs: the number of ids.
    """

    queue: str
    due: int
    delay: int
    start_within: int
    jobs: int


class StepRow(NamedTuple):
    """The head of a step.

    Attributes:
        pump: the number of the worker's pump, which numbers its own steps.
        number: rises with every step of the pump.
        slots: jobs to claim at most.
        lease: milliseconds.
        retain_completed: seconds, as the two after it.
        queues: the number of queues that follow.
    """

    worker_id: str
    pump: int
    number: int
    slots: int
    lease: int
    retain_completed: int
    retain_failed: int
    retain_cancelled: int
    queues: int


class FinishedRow(NamedTuple):
    """A finished attempt.

    Attributes:
        lease: `fencing_token:job_id`.
        outcome: `completed`, `failed`, `retry`, `cancelled`, `released` or `returned`.
        body: the result (completed) or the error (failed, retry), JSON; else empty.
        delay: milliseconds until the job is due again.
        progress: JSON; empty to leave the record's as it is.
        lines: lines of the job's log, as `append_lines` takes them.
        artifacts: JSON; empty without any; counts for completed jobs.
        started_at: milliseconds since the epoch; 0 to leave the record's as it is.
        output: chunks of the job's output, as `append_output` takes them.
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
    started_at: int
    output: bytes


class ClaimRow(NamedTuple):
    """A claim in the reply to a step.

    Attributes:
        due: the time at which the job was due, in milliseconds since the epoch.
    """

    queue: bytes
    job_id: bytes
    fencing_token: int
    attempt: int
    max_attempts: bytes
    message: bytes
    params: bytes
    request_id: bytes
    trace: bytes
    due: int


class ReportRow(NamedTuple):
    """Progress, log lines and output of a running attempt, each empty without any.

    Attributes:
        started_at, output: as in `FinishedRow`.
        worker_id: the worker that has the claim; empty if that is not known.
    """

    queue: str
    job_id: str
    fencing_token: int
    progress: bytes
    lines: bytes
    started_at: int
    output: bytes
    worker_id: str


class BeatRow(NamedTuple):
    """The head of a heartbeat.

    Attributes:
        lease: milliseconds.
        queues: separated by commas.
        running: the number of running jobs.
        models: the states of the model hosts, JSON; empty without any.
        memory: resident memory of the worker's process, in bytes.
        release: the version of its code.
        started_at: seconds since the epoch.
        overdue: the leases that the worker has and does not renew, since their time is over, with spaces.
        steps: the number of rows of steps under way that follow.
    """

    worker_id: str
    lease: int
    host: str
    pid: int
    queues: str
    slots: int
    running: int
    models: str
    memory: int
    release: str
    started_at: float
    overdue: str
    steps: int


class StepUnderWayRow(NamedTuple):
    """A step whose reply the worker may not have read."""

    worker_id: str
    pump: int
    number: int


class Lease(NamedTuple):
    """A lease to renew: its queue, and `fencing_token:job_id`."""

    queue: str
    lease: str


class ListRow(NamedTuple):
    """The head of a list; the fields to return follow, then labels to match: names and values as pairs.

    Attributes:
        state: empty for all states.
        type: empty for all types.
        limit: records at most.
        bytes: JSON of the records at most.
        budget: entries of the index to look at.
        score, last: the cursor, or both empty.
        caller: empty for the jobs of all callers.
        queue: empty for all queues.
        created_after: milliseconds since the epoch of the oldest job; empty for any.
        created_before: the time before which jobs were created; empty for any.
        fields: the number of fields.
    """

    state: str
    type: str
    limit: int
    bytes: int
    budget: int
    score: str
    last: str
    caller: str
    queue: str
    created_after: int | str
    created_before: int | str
    fields: int


ROWS: dict[str, tuple[str, ...]] = {
    "BEAT": BeatRow._fields,
    "COMMIT": CommitRow._fields,
    "GROUP": GroupRow._fields,
    "LEASE": Lease._fields,
    "LIST": ListRow._fields,
    "PREPARE": PrepareRow._fields,
    "STEP": StepRow._fields,
    "STEP_UNDER_WAY": StepUnderWayRow._fields,
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
    return LENGTH.sub(lambda found: str(len(ROWS[found[1]])), INDEX.sub(_number, source))


def _number(found: re.Match[str]) -> str:
    row, field = found.groups()
    if field not in ROWS[row]:
        raise ValueError(f"The row {row} has no field {field!r}; name one of {', '.join(ROWS[row])}.")
    return str(ROWS[row].index(field) + 1)
