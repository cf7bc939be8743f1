"""docs/job-types.md is true: its code runs, its tests pass, its commands do what they say."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.stack import ROOT, Stack

PAGE = (ROOT / "docs/job-types.md").read_text()
CODE = re.compile(r"^```python\n# (?P<path>\S+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the files that the page tells to write."""
    project = tmp_path_factory.mktemp("project")
    for folder in ("api", "job_types", "shared", "worker"):
        shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", project)
    for block in CODE.finditer(PAGE):
        path = project / block["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["code"].lstrip())
    return project


@pytest.fixture
def stack(project: Path, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    stack.root = project
    try:
        stack.start_redis()
        stack.start_worker()
        stack.start_api()
        yield stack
    finally:
        stack.close()


def test_every_block_of_code_says_where_it_goes() -> None:
    assert len(CODE.findall(PAGE)) == PAGE.count("```python") == 5


def test_the_tests_of_the_page_pass(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests"], cwd=project, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands need curl")
def test_the_commands_of_the_page_do_what_they_say(stack: Stack, tmp_path: Path) -> None:
    reverse, redact = [
        commands.replace("localhost:8000", stack.api_url) for commands in COMMANDS.findall(PAGE)
    ]
    assert '"result":"desserts"' in shell(reverse, tmp_path)
    assert shell(redact, tmp_path) == "The ██████ word\n"


def shell(commands: str, folder: Path) -> str:
    return subprocess.run(
        ["sh", "-euc", commands], cwd=folder, capture_output=True, text=True, timeout=30, check=True
    ).stdout
