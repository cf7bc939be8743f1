"""Limits of log lines, and log output that can't be written. Each test runs its own process."""

import os
import re
import subprocess
import sys

import orjson
import pytest

from tests.unit.shared.log_program import ROOT, START, output

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

LONG_FIELDS = """
for fields in (
    {"text": "x" * 5_000_000},
    {"escapes": "\\x01" * 5_000_000},
    {"values": ["x" * 100] * 50_000},
    {f"field_{number}": "é" * 50_000 for number in range(20)},
    {f"field_{number}": "x" for number in range(20_000)},
    {"beyond_utf8": "\\udcff" * 5_000_000},
):
    log.info("long", **fields)
"""


def test_a_line_and_each_of_its_fields_have_a_limit():
    found = output(LONG_FIELDS).splitlines()
    assert len(found) == 6
    for text in found:
        line = orjson.loads(text)
        assert len(text.encode()) <= 100_000
        assert (line["event"], line["level"], line["source"]) == ("long", "info", "a.module")
        assert all(len(value) <= 20_010 for value in line.values())


@pytest.mark.parametrize("logger", ["log", "logging.getLogger('arq')"])
def test_a_line_for_people_has_a_limit_too(logger: str):
    text = output(
        f"""
try:
    raise ValueError("x" * 5_000_000)
except ValueError:
    {logger}.exception("y" * 5_000_000)
""",
        form="console",
    )
    assert len(text) <= 100_000


BROKEN = """
print("printed by a handler")
for number in range(3):
    log.info("a line", number=number)
    logging.getLogger("arq").warning("from a library")
try:
    raise ValueError("no")
except ValueError:
    log.exception("it broke")
print("without an end", end="")
print("to standard error", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("form", "redirection"),
    [
        *(("json", redirection) for redirection in (">/dev/full", ">&-", "| true", ">&- 2>&-")),
        *(("console", redirection) for redirection in (">/dev/full 2>&1", "2>&1 | true")),
    ],
)
def test_output_that_can_not_be_written_changes_nothing_else(form: str, redirection: str):
    program = START.format(level="INFO", form=form) + BROKEN
    command = f'set -o pipefail; "$PYTHON" -c "$PROGRAM" {redirection}'
    ended = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable, "PROGRAM": program},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0
    assert ended.stderr in ("", "to standard error\n")


@pytest.mark.parametrize("form", ["json", "console"])
def test_lines_that_were_dropped_are_counted_in_a_line_once_there_is_room(form: str):
    text = output(
        """
import os
from shared import log_stream
log_stream.WAIT_SECONDS = 0.1
standard_output = os.dup(1)
reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(writer)
os.set_blocking(1, False)
configure_logging(level="INFO", form=FORM)
log = get_log("another")
filler = "x" * 10_000
for number in range(20):
    log.info("a line", filler=filler)
os.set_blocking(reader, False)
taken = os.read(reader, 1 << 20)
log.info("again")
taken += os.read(reader, 1 << 20)
os.write(standard_output, taken)
""".replace("FORM", repr(form)),
        form=form,
    )
    *written, notice, last = text.splitlines()
    assert "log lines were dropped" in notice
    assert "again" in last
    count = 20 - len(written)
    assert count > 0
    assert (f'"count":{count},' if form == "json" else f"count={count}") in notice


def test_what_is_printed_comes_between_the_lines_in_its_order():
    text = output("log.info('first')\nprint('printed', flush=True)\nlog.info('last')")
    assert all(
        part in line for part, line in zip(("first", "printed", "last"), text.splitlines(), strict=True)
    )
