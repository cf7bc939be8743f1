"""What the address of Redis may say after its question mark."""

import os
import subprocess
import sys

import pytest

from dev.stack import ROOT


@pytest.mark.parametrize("command", [["worker", "--check"], ["worker"]], ids=["check", "worker"])
def test_an_option_that_the_client_does_not_know_ends_the_process_with_one_line(command):
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": "redis://127.0.0.1:1/0?nonsense=1"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.stderr.count("\n") == 1, ended.stderr[-500:]
    assert ended.stderr.startswith("Configuration error: REDIS_URL: ")
    assert ended.returncode == 2
