"""Commands without their dependencies say what to do."""

import subprocess
import sys

import pytest

from dev.stack import ROOT

COMMANDS = (
    "api.keys",
    "benchmarks",
    "chaos",
    "client",
    "dev",
    "dev.locks",
    "fuzz",
    "shared.webhooks",
    "worker",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_its_dependencies_says_what_to_do(command: str):
    bare = [sys.executable, "-S"]  # the Python of this run, without the packages that are installed
    ended = subprocess.run([*bare, "-m", command], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert "install" in line
