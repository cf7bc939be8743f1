"""Display of a job: the bar, lines, tables, and a live terminal."""

import io
import os
import pty
import re
import termios
from contextlib import suppress
from typing import Any

import pytest

from client import Job, LogLine, OutputChunk
from client.command_line.display import (
    ERASE_LINE,
    LINE_UP,
    LiveDisplay,
    PlainDisplay,
    Shown,
    bar_line,
    change_line,
    clock,
    display,
    log_line,
    wrapped,
)
from tests.unit.client.fake_server import FAILURE, log_record, record

HALF = {"fraction": 0.5, "message": "counting"}


def job(state: str = "pending", **fields: Any) -> Job:
    return Job.from_record(record(state, **fields))


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (job(), "░░░░░░░░░░        pending     0:05"),
        (
            job("running", progress=HALF, attempt=1),
            "█████░░░░░   50%  running     0:05  counting",
        ),
        (
            job("running", progress=HALF, cancel_requested=True),
            "█████░░░░░   50%  cancelling  0:05  counting",
        ),
        (
            job("pending", errors=[FAILURE], attempt=1),
            "░░░░░░░░░░        pending     0:05  attempt 1 of 3: It was asked to fail.",
        ),
        (job(queue_paused=True), "░░░░░░░░░░        pending     0:05  the queue default is paused"),
        (job("completed", attempt=2), "██████████  100%  completed   0:05  attempt 2 of 3"),
        (job("running", progress={"fraction": 0.999}), "█████████░  100%  running     0:05"),
        (
            job("running", progress={"fraction": 0, "message": "a\nb\x1b[H"}),
            "░░░░░░░░░░    0%  running     0:05  a b [H",
        ),
    ],
)
def test_the_bar_shows_the_progress(found: Job, line: str):
    assert bar_line(found, 5.9, 60) == line[:60]


def test_the_bar_fits_the_terminal():
    found = job("running", progress={"fraction": 0.5, "message": "long " * 100})
    for columns in (1, 20, 80, 300):
        assert len(bar_line(found, 1, columns)) == columns
    assert bar_line(found, 1, 300).count("█") == 20


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3600, "1:00:00"), (90061, "25:01:01")]
)
def test_the_clock(seconds: float, text: str):
    assert clock(seconds) == text


def test_a_change_in_one_line():
    assert change_line(job("running", progress=HALF)) == "running      50%  counting"


def chunk(value: object, run: int = 1) -> OutputChunk:
    return OutputChunk(run, run, 1, value)


def drawn(*items: Shown, columns: int = 80) -> str:
    """Show items on a live display; returns all bytes that the terminal got, as text."""
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, columns))
    with os.fdopen(terminal, "w") as out, LiveDisplay(out) as live:
        for item in items:
            live.show(item)
    text = b""
    with os.fdopen(screen, "rb", buffering=0) as file, suppress(OSError):  # a closed terminal is an error
        while chunk := file.read(10_000):
            text += chunk
    return text.decode()


def test_the_live_bar_is_drawn_on_a_terminal():
    last = drawn(job("running", progress=HALF), job("completed")).split(ERASE_LINE)[-1]
    assert re.search(r"100%  completed   0:\d\d\r?\n\Z", last)


def test_log_lines_are_above_the_live_bar():
    line = LogLine.from_record(log_record(1, "opened"))
    text = drawn(job("running"), line, job("completed"))
    assert f"{ERASE_LINE}2026-01-01 12:00:01Z  opened\r\n" in text
    assert "completed" in text.split(ERASE_LINE)[-1]


def screen_of(text: str) -> list[str]:
    """Lines of a terminal that got a text with the escapes of the display."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[K|\x1b\[A|\r|\n|[^\x1b\r\n]+", text):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == LINE_UP:
            row -= 1
        elif part != "\r":
            lines[row] = "" if part == "\x1b[K" else part
    return lines


def test_output_grows_above_the_live_bar():
    items = [job("running"), chunk("to be"), chunk(" or\nnot"), chunk(" to"), chunk(" be"), job("completed")]
    *lines, bar, after = screen_of(drawn(*items))
    assert lines == ["to be or", "not to be"]
    assert "completed" in bar
    assert after == ""


def test_a_long_line_of_output_is_cut_at_the_width_of_the_terminal():
    items = [job("running"), *[chunk("ab") for _ in range(12)], chunk("日本"), job("completed")]
    assert screen_of(drawn(*items, columns=21))[:2] == ["ab" * 10, "abab日本"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("to be or not to be", ["to be or", "not to be"]),
        ("to be or  not", ["to be or", "not"]),
        ("question", ["question"]),
        ("the questions", ["the", "questions"]),
        ("incomprehensible", ["incomprehe", "nsible"]),
        ("日本日本日本 ", ["日本日本日", "本 "]),
        ("a\n\nb\n", ["a", "", "b", ""]),
        (" indented lines", [" indented", "lines"]),
    ],
)
def test_output_is_wrapped_between_words(text: str, lines: list[str]):
    assert wrapped(text, 10) == lines


def test_a_tiny_terminal_ends():
    assert wrapped("日ab", 0) == ["日", "a", "b", ""]


def test_a_log_line_ends_the_line_of_output():
    line = LogLine.from_record(log_record(1, "opened"))
    items = [job("running"), chunk("to"), line, chunk("be"), job("completed")]
    assert screen_of(drawn(*items))[:3] == ["to", "2026-01-01 12:00:01Z  opened", "be"]


def test_a_new_run_begins_the_output_anew():
    items = [chunk("to be"), chunk("to", run=2), job("completed")]
    assert screen_of(drawn(*items))[:3] == ["to be", "Attempt 2 begins the output anew.", "to"]
    out = io.StringIO()
    with display(out) as show:
        for item in items:
            show(item)
    assert out.getvalue().splitlines()[:3] == ["to be", "Attempt 2 begins the output anew.", "to"]


def test_output_without_a_terminal_comes_as_it_is():
    out = io.StringIO()
    with display(out) as show:
        show(job("running"))
        for value in ("to ", "be\n", {"or": 1}, "not"):
            show(chunk(value))
        assert out.getvalue() == 'running\nto be\n{"or": 1}\nnot'
        show(job("running", progress=HALF))
        show(job("completed"))
        show(chunk("late"))
    assert out.getvalue() == 'running\nto be\n{"or": 1}\nnot\ncompleted   100%\nlate\n'


def test_output_can_not_move_the_cursor():
    out = io.StringIO()
    PlainDisplay(out).show(chunk("a\x1b[2J\rb\n"))
    assert out.getvalue() == "a [2J b\n"


def test_equal_log_lines_are_all_shown():
    out = io.StringIO()
    plain = PlainDisplay(out)
    for _ in range(2):
        plain.show(LogLine.from_record(log_record(1, "again")))
    assert out.getvalue() == "2026-01-01 12:00:01Z  again\n" * 2


def test_a_line_of_the_log_is_one_line():
    assert "\n" not in log_line(LogLine.from_record(log_record(1, "a\nb", text="c\nd")))
