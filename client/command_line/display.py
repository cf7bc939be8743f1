"""Display of a job for people: a live progress bar, or a line per change; its log lines and its output."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self, TextIO
from unicodedata import east_asian_width

from client.command_line.standard_streams import can_encode, printable
from client.models.jobs import Job
from client.models.logs import LogLine, OutputChunk

BAR = "█░"  # done, and not yet
PLAIN_BAR = "#."  # for terminals whose encoding has no blocks
REDRAW_SECONDS = 0.1
ERASE_LINE = "\r\x1b[K"
LINE_UP = "\x1b[A"


Shown = Job | LogLine | OutputChunk


@contextmanager
def display(out: TextIO) -> Iterator[Callable[[Shown], None]]:
    """Show a job on a stream: yields the function that takes each change, log line and chunk of output."""
    if out.isatty():
        with LiveDisplay(out) as live:
            yield live.show
    else:
        plain = PlainDisplay(out)
        yield plain.show
        plain.end_line()


class PlainDisplay:
    """Display of one line per visible change, and per line of the log; text of the output as it comes.

    Once there is output, it shows that the job runs: a line for each progress would tear the text apart.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = ""
        self._run = 0
        self._open = False  # the last line is output without an end

    def show(self, item: Shown) -> None:
        if isinstance(item, OutputChunk):
            self._show_output(item)
            return
        if isinstance(item, Job) and item.state == "running" and self._run:
            return
        line = change_line(item) if isinstance(item, Job) else log_line(item)
        if isinstance(item, LogLine) or line != self._last:
            self._last = line
            self.end_line()
            write(self._out, line + "\n")

    def end_line(self) -> None:
        """End a line of output that has no end yet."""
        if self._open:
            write(self._out, "\n")
        self._open = False

    def _show_output(self, chunk: OutputChunk) -> None:
        if self._run and chunk.run != self._run:
            self.end_line()
            write(self._out, new_run_line(chunk) + "\n")
        self._run = chunk.run
        text = output_text(chunk)
        if text:
            self._open = not text.endswith("\n")
            write(self._out, text)


class LiveDisplay:
    """A progress bar at the bottom of a terminal, below the lines of the log and the output.

    The last line of the output, which may still grow, is above the bar. Both are drawn anew at each change. A
    thread redraws them, so that the bar's clock goes on between two changes.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._start = time.monotonic()
        self._marks = BAR if can_encode(out, BAR) else PLAIN_BAR
        self._job: Job | None = None
        self._run = 0
        self._line = ""  # the last line of the output
        self._line_drawn = False
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

    def show(self, item: Shown) -> None:
        with self._drawing:
            match item:
                case Job():
                    self._job = item
                case LogLine():
                    self._print_above([*self._finished_line(), log_line(item)])
                case OutputChunk():
                    self._print_above(self._lines_of(item))

    def _lines_of(self, chunk: OutputChunk) -> list[str]:
        """Add a chunk to the output; returns the lines that are complete with it."""
        lines = []
        if self._run and chunk.run != self._run:
            lines = [*self._finished_line(), new_run_line(chunk)]
        self._run = chunk.run
        *complete, self._line = wrapped(self._line + output_text(chunk), columns(self._out) - 1)
        return lines + complete

    def _finished_line(self) -> list[str]:
        line, self._line = self._line, ""
        return [line] if line else []

    def _redraw(self) -> None:
        while not self._over.wait(REDRAW_SECONDS):
            self._draw()

    def _draw(self) -> None:
        with self._drawing:
            self._print_above([])

    def _print_above(self, lines: list[str]) -> None:
        """Print lines in place of the bar and the last line of output, and draw these again below."""
        erase = ERASE_LINE + (LINE_UP + ERASE_LINE if self._line_drawn else "")
        below = [self._line] if self._line else []
        self._line_drawn = bool(below)
        bar = ""
        if self._job is not None:
            bar = bar_line(self._job, time.monotonic() - self._start, columns(self._out) - 1, self._marks)
        write(self._out, erase + "".join(f"{line}\n" for line in [*lines, *below]) + bar)


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
    parts = [bar, _percent(job), f"{state_of(job):10}", clock(elapsed), _message(job)]
    return "  ".join(parts).rstrip()[:columns]


def change_line(job: Job) -> str:
    """Render a change of a job: state, percentage, message."""
    return "  ".join([f"{state_of(job):10}", _percent(job), _message(job)]).rstrip()


def log_line(line: LogLine) -> str:
    """Render a line of a log: time, message, fields."""
    fields = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in line.fields.items())
    return printable("  ".join([f"{line.at:%Y-%m-%d %H:%M:%SZ}", line.message, *fields]))


def output_text(chunk: OutputChunk) -> str:
    """Render a chunk of output: a text as it is, another value as a line of JSON; no control characters."""
    text = str(chunk) if isinstance(chunk.value, str) else f"{chunk}\n"
    return "\n".join(map(printable, text.split("\n")))


def new_run_line(chunk: OutputChunk) -> str:
    return f"Attempt {chunk.attempt} begins the output anew."


def wrapped(text: str, width: int) -> list[str]:
    """Cut a text into lines: at its line ends, and between words where a line is wider than a terminal."""
    lines: list[str] = []
    for line in text.split("\n"):
        rest = line
        while (length := _fitting(rest, width)) < len(rest):
            blank = rest.rfind(" ", 0, length + 1)
            cut = blank + 1 if blank > 0 else max(1, length)
            lines.append(rest[:cut].rstrip())
            rest = rest[cut:]
        lines.append(rest)
    return lines


def _fitting(text: str, width: int) -> int:
    """Number of letters that fit into so many columns; some letters take two."""
    for index, letter in enumerate(text):
        width -= 2 if east_asian_width(letter) in "WF" else 1
        if width < 0:
            return index
    return len(text)


def clock(seconds: float) -> str:
    """Render a duration as 0:07, or 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def state_of(job: Job) -> str:
    return "cancelling" if job.cancel_requested and not job.done else job.state


def _fraction(job: Job) -> float:
    if job.state == "completed":
        return 1.0
    return job.progress.fraction if job.progress else 0.0


def _percent(job: Job) -> str:
    return f"{_fraction(job):4.0%}" if job.progress or job.state == "completed" else " " * 4


def _message(job: Job) -> str:
    """Message of the progress; between two attempts, of the last error; for a paused queue, that it is so."""
    attempt = f"attempt {job.attempt} of {job.max_attempts}" if job.attempt > 1 or job.errors else ""
    message = job.progress.message if job.progress and not job.done else ""
    if job.errors and job.state != "completed" and not message:
        message = job.errors[-1].message
    if job.queue_paused and job.state == "pending":
        message = f"the queue {job.queue} is paused"
    return printable(": ".join(filter(None, [attempt, message])))
