"""Commands without their dependencies say what to do."""

import subprocess
import sys

import pytest

from dev.stack import ROOT

MODULES = (
    "api.keys.api_key",
    "benchmarks",
    "chaos",
    "client",
    "dev",
    "dev.locks",
    "fuzz",
    "shared.webhooks",
    "worker",
)
BARE = (sys.executable, "-S")  # the Python of this run, without the packages that are installed


@pytest.mark.parametrize("command", [f"-m {module}" for module in MODULES])
def test_a_command_without_its_dependencies_says_what_to_do(command: str):
    ended = subprocess.run([*BARE, *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert "install" in line
