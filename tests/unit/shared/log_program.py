"""Log output of a program that runs in its own process."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parents[3]
START = """
import logging, sys, warnings
from shared.logging import configure_logging, get_log, log_context
configure_logging(level={level!r}, form={form!r})
log = get_log("a.module")
"""


def output(program: str, *, level: str = "INFO", form: str = "json") -> str:
    """Output of a process that runs this program to its end, without errors."""
    ended = subprocess.run(
        [sys.executable, "-c", START.format(level=level, form=form) + program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def lines(program: str, *, level: str = "INFO") -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in output(program, level=level).splitlines()]
