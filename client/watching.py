"""A job before somebody's eyes: its log, and one live line on a terminal, a line per change elsewhere."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self, TextIO

from client.job import Job
from client.records import LogLine
from client.standard_streams import shows
from client.views import BAR, PLAIN_BAR, bar_line, change_line, log_line

REDRAW_SECONDS = 0.1
ERASE_LINE = "\r\x1b[K"


@contextmanager
def display(out: TextIO) -> Iterator[Callable[[Job | LogLine], None]]:
    """What shows the news of a job within the block, in the way that suits the stream."""
    if out.isatty():
        with LiveLine(out) as line:
            yield line.show
    else:
        yield Lines(out).show


class Lines:
    """A line per change that shows, and per line of the log."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = ""

    def show(self, news: Job | LogLine) -> None:
        line = change_line(news) if isinstance(news, Job) else log_line(news)
        if isinstance(news, LogLine) or line != self._last:
            self._last = line
            write(self._out, line + "\n")


class LiveLine:
    """One line, drawn again and again by a thread of its own, so that the clock in it goes on.

    The lines of the log go by above it.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._start = time.monotonic()
        self._marks = BAR if shows(out, BAR) else PLAIN_BAR
        self._job: Job | None = None
        self._over = threading.Event()
        self._drawing = threading.Lock()
        self._thread = threading.Thread(target=self._draw_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._draw()
        write(self._out, "\n")

    def show(self, news: Job | LogLine) -> None:
        if isinstance(news, Job):
            self._job = news
            return
        with self._drawing:
            write(self._out, f"{ERASE_LINE}{log_line(news)}\n")

    def _draw_on(self) -> None:
        while not self._over.wait(REDRAW_SECONDS):
            self._draw()

    def _draw(self) -> None:
        if self._job is not None:
            line = bar_line(self._job, time.monotonic() - self._start, columns(self._out) - 1, self._marks)
            with self._drawing:
                write(self._out, ERASE_LINE + line)


def columns(terminal: TextIO) -> int:
    """The width of a terminal; 80 if it has none."""
    with suppress(OSError):
        return os.get_terminal_size(terminal.fileno()).columns or 80
    return 80


def write(out: TextIO, text: str) -> None:
    """Show a text at once; a stream that is gone by now must not end the watch."""
    with suppress(OSError):
        out.write(text)
        out.flush()
