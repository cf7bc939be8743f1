"""Display of jobs for people: a live progress bar, a line per change or log line, a table."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Self, TextIO

from client.command_line.standard_streams import can_encode, printable
from client.models import Job, LogLine

BAR = "█░"  # done, and not yet
PLAIN_BAR = "#."  # for terminals whose encoding has no blocks
HEAD = ("ID", "TYPE", "STATE", "ATTEMPT", "CREATED", "LABELS")
REDRAW_SECONDS = 0.1
ERASE_LINE = "\r\x1b[K"


@contextmanager
def display(out: TextIO) -> Iterator[Callable[[Job | LogLine], None]]:
    """Show a job on a stream: yields the function that takes each change and each log line."""
    if out.isatty():
        with LiveDisplay(out) as live:
            yield live.show
    else:
        yield PlainDisplay(out).show


class PlainDisplay:
    """Display of one line per visible change, and per line of the log."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = ""

    def show(self, item: Job | LogLine) -> None:
        line = change_line(item) if isinstance(item, Job) else log_line(item)
        if isinstance(item, LogLine) or line != self._last:
            self._last = line
            write(self._out, line + "\n")


class LiveDisplay:
    """A progress bar at the bottom of a terminal, below the lines of the log.

    A thread redraws the bar, so that its clock goes on between two changes.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._start = time.monotonic()
        self._marks = BAR if can_encode(out, BAR) else PLAIN_BAR
        self._job: Job | None = None
        self._over = threading.Event()
        self._drawing = threading.Lock()
        self._thread = threading.Thread(target=self._redraw, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._draw()
        write(self._out, "\n")

    def show(self, item: Job | LogLine) -> None:
        if isinstance(item, Job):
            self._job = item
            return
        with self._drawing:
            write(self._out, f"{ERASE_LINE}{log_line(item)}\n")

    def _redraw(self) -> None:
        while not self._over.wait(REDRAW_SECONDS):
            self._draw()

    def _draw(self) -> None:
        if self._job is not None:
            line = bar_line(self._job, time.monotonic() - self._start, columns(self._out) - 1, self._marks)
            with self._drawing:
                write(self._out, ERASE_LINE + line)


def columns(terminal: TextIO) -> int:
    """Width of a terminal; 80 without one."""
    with suppress(OSError):
        return os.get_terminal_size(terminal.fileno()).columns or 80
    return 80


def write(out: TextIO, text: str) -> None:
    """Write and flush; a closed stream must not end the watch."""
    with suppress(OSError):
        out.write(text)
        out.flush()


# -- lines


def bar_line(job: Job, elapsed: float, columns: int, marks: str = BAR) -> str:
    """Render a job in at most so many columns: bar, percentage, state, time since the start, message."""
    width = max(10, min(40, columns - 50))
    filled = int(_fraction(job) * width)
    bar = marks[0] * filled + marks[1] * (width - filled)
    parts = [bar, _percent(job), f"{_state(job):10}", clock(elapsed), _message(job)]
    return "  ".join(parts).rstrip()[:columns]


def change_line(job: Job) -> str:
    """Render a change of a job: state, percentage, message."""
    return "  ".join([f"{_state(job):10}", _percent(job), _message(job)]).rstrip()


def log_line(line: LogLine) -> str:
    """Render a line of a log: time, message, fields."""
    fields = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in line.fields.items())
    return printable("  ".join([f"{line.at:%Y-%m-%d %H:%M:%SZ}", line.message, *fields]))


def clock(seconds: float) -> str:
    """Render a duration as 0:07, or 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def table(jobs: Iterable[Job]) -> Iterator[str]:
    """Render jobs as a table: a heading, then a line for each, in aligned columns."""
    rows = [HEAD, *map(_row, jobs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()


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


def _message(job: Job) -> str:
    """Message of the job's progress; between two attempts, of the last error."""
    attempt = f"attempt {job.attempt} of {job.max_attempts}" if job.attempt > 1 or job.errors else ""
    message = job.progress.message if job.progress and not job.done else ""
    if job.errors and job.state != "completed" and not message:
        message = job.errors[-1].message
    return printable(": ".join(filter(None, [attempt, message])))
