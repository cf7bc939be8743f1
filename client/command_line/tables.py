"""Tables of the command line: jobs, attempts, queues and workers, in aligned columns."""

import sys
from collections.abc import Iterable, Iterator, Sequence

from client.command_line.display import clock, columns, state_of
from client.command_line.standard_streams import printable
from client.models.jobs import Attempt, Job
from client.models.queues import Pause, QueueStatus, WorkerStatus

JOBS = ("ID", "TYPE", "STATE", "ATTEMPT", "CREATED", "LABELS")
ATTEMPTS = ("ATTEMPT", "STARTED", "TOOK", "OUTCOME", "WORKER", "ERROR")
QUEUES = ("QUEUE", "READY", "SCHEDULED", "RUNNING", "WAIT", "WORKERS", "ENDED/MIN", "PAUSED")
WORKERS = ("WORKER", "HOST", "PID", "RUNNING", "MEMORY", "LEASE", "QUEUES")
NUMBERS = {"READY", "SCHEDULED", "RUNNING", "WAIT", "WORKERS", "ENDED/MIN", "PID", "MEMORY", "LEASE", "TOOK"}
ELLIPSIS = "..."


def jobs_table(jobs: Iterable[Job]) -> Iterator[str]:
    rows = (
        (
            job.job_id,
            job.type,
            state_of(job),
            f"{job.attempt}/{job.max_attempts}",
            f"{job.created_at:%Y-%m-%d %H:%M:%SZ}",
            printable(" ".join(f"{name}={value}" for name, value in job.labels.items())),
        )
        for job in jobs
    )
    return _table(JOBS, rows)


def attempts_table(attempts: Iterable[Attempt]) -> Iterator[str]:
    rows = (
        (
            str(attempt.attempt),
            f"{attempt.started_at:%Y-%m-%d %H:%M:%SZ}",
            f"{(attempt.ended_at - attempt.started_at).total_seconds():.3f} s" if attempt.ended_at else "",
            attempt.outcome,
            attempt.worker or "",
            printable(f"{attempt.error.code}: {attempt.error.message}") if attempt.error else "",
        )
        for attempt in attempts
    )
    return _table(ATTEMPTS, rows)


def queues_table(queues: Iterable[QueueStatus]) -> Iterator[str]:
    """Render queues; RUNNING is of the concurrency of their workers, ENDED/MIN counts the last minute."""
    rows = (
        (
            queue.name,
            str(queue.ready),
            str(queue.scheduled),
            f"{queue.running}/{queue.concurrency}",
            clock(queue.oldest_wait_seconds),
            str(queue.workers),
            str(queue.ended_last_minute.total),
            _short_pause(queue.pause) if queue.pause else "",
        )
        for queue in queues
    )
    return _table(QUEUES, rows)


def queue_lines(queue: QueueStatus) -> Iterator[str]:
    """Render one queue: a line for each of its figures."""
    ended = queue.ended_last_minute
    yield f"queue        {queue.name}"
    yield f"ready        {queue.ready}"
    yield f"scheduled    {queue.scheduled}"
    yield f"running      {queue.running} of {queue.concurrency}, on {counted(queue.workers, 'worker')}"
    yield f"oldest wait  {clock(queue.oldest_wait_seconds)}"
    yield (f"last minute  {ended.completed} completed, {ended.failed} failed, {ended.cancelled} cancelled")
    yield f"paused       {pause_text(queue.pause) if queue.pause else 'no'}"


def pause_text(pause: Pause) -> str:
    """Render a pause: since when, by whom, why."""
    by = f" by {pause.by}" if pause.by else ""
    reason = f": {pause.reason}" if pause.reason else ""
    return printable(f"since {pause.at:%Y-%m-%d %H:%M:%SZ}{by}{reason}")


def _short_pause(pause: Pause) -> str:
    by = f"by {pause.by}" if pause.by else ""
    return printable(": ".join(filter(None, [by, pause.reason]))) or "yes"


def workers_table(workers: Iterable[WorkerStatus]) -> Iterator[str]:
    """Render workers; LEASE is the time after which their jobs are rescued, unless a heartbeat comes."""
    rows = (
        (
            worker.worker_id,
            printable(worker.host),
            str(worker.pid),
            f"{worker.running}/{worker.concurrency}",
            f"{worker.memory_bytes / 1e6:.0f} MB" if worker.memory_bytes else "",
            f"{worker.lease_seconds_left:.1f} s",
            " ".join(worker.queues),
        )
        for worker in workers
    )
    return _table(WORKERS, rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Render a heading and rows; on a terminal, the last column is cut where the line would be too long."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    *_, last = widths
    before = sum(widths) - last + 2 * (len(widths) - 1)
    room = columns(sys.stdout) - before if sys.stdout.isatty() else last
    for row in lines:
        cells = [
            cell.rjust(width) if name in NUMBERS else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ]
        cells[-1] = _cut(row[-1], room)
        yield "  ".join(cells).rstrip()


def _cut(text: str, width: int) -> str:
    """Cut a text to a width, if there is room for something readable."""
    return text if len(text) <= width or width < 2 * len(ELLIPSIS) else text[: width - 3] + ELLIPSIS


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
