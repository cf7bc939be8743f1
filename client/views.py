"""Jobs as text for people: a progress bar, a line per change, a line of a log, a table."""

import json
from collections.abc import Iterable, Iterator

from client.job import Job
from client.records import LogLine

BAR = "█░"  # done, and not yet
PLAIN_BAR = "#."  # for terminals whose encoding has no blocks
HEAD = ("ID", "TYPE", "STATE", "ATTEMPT", "CREATED", "LABELS")


def bar_line(job: Job, elapsed: float, columns: int, marks: str = BAR) -> str:
    """One line of at most so many columns: a bar, the state, seconds since the watch began, what is said."""
    width = max(10, min(40, columns - 50))
    filled = int(_fraction(job) * width)
    bar = marks[0] * filled + marks[1] * (width - filled)
    parts = [bar, _percent(job), f"{_state(job):10}", clock(elapsed), _note(job)]
    return "  ".join(parts).rstrip()[:columns]


def change_line(job: Job) -> str:
    """One line for a log: the state, how far the job is, what is said."""
    return "  ".join([f"{_state(job):10}", _percent(job), _note(job)]).rstrip()


def log_line(line: LogLine) -> str:
    """When it was written, the message, and what was given besides."""
    fields = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in line.fields.items())
    return printable("  ".join([f"{line.at:%Y-%m-%d %H:%M:%SZ}", line.message, *fields]))


def clock(seconds: float) -> str:
    """A duration as 0:07, or 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def table(jobs: Iterable[Job]) -> Iterator[str]:
    """The jobs, a line each, in aligned columns under a heading."""
    rows = [HEAD, *map(_row, jobs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()


def printable(text: str) -> str:
    """The text on one line, without what would move the cursor: it comes from whoever wrote the job."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _row(job: Job) -> tuple[str, ...]:
    labels = " ".join(f"{name}={value}" for name, value in job.labels.items())
    attempt = f"{job.attempt}/{job.max_attempts}"
    created = f"{job.created_at:%Y-%m-%d %H:%M:%SZ}"
    return (job.job_id, job.type, _state(job), attempt, created, printable(labels))


def _state(job: Job) -> str:
    return "cancelling" if job.cancel_requested and not job.done else job.state


def _fraction(job: Job) -> float:
    if job.state == "completed":
        return 1.0
    return job.progress.fraction if job.progress else 0.0


def _percent(job: Job) -> str:
    return f"{_fraction(job):4.0%}" if job.progress or job.state == "completed" else " " * 4


def _note(job: Job) -> str:
    """What the job says of itself; before another attempt, why the last one failed."""
    attempt = f"attempt {job.attempt} of {job.max_attempts}" if job.attempt > 1 or job.errors else ""
    said = job.progress.message if job.progress and not job.done else ""
    if job.errors and job.state != "completed" and not said:
        said = job.errors[-1].message
    return printable(": ".join(filter(None, [attempt, said])))
