"""docs/job-types.md is true: its commands do what it says, its code runs, its tests pass."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.service import Service, serving
from dev.stack import ROOT

PAGE = (ROOT / "docs/job-types.md").read_text()
CODE = re.compile(r"^```python\n# (?P<path>\S+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WRITTEN = (
    "job_types/reverse/contract.py",
    "job_types/reverse/handler.py",
    "tests/unit/job_types/test_reverse.py",
)
DOCKERFILE = re.compile(r"^```dockerfile\n# Dockerfile\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    """The files that the page shows, by path."""
    return {block["path"]: block["code"] for block in CODE.finditer(PAGE)}


def commands(beginning: str) -> str:
    """The block of commands that begins so."""
    (found,) = [block for block in COMMANDS.findall(PAGE) if block.startswith(beginning)]
    return str(found)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, bytecode included, in which a reader has followed the page."""
    project = tmp_path_factory.mktemp("beside") / "job-server"
    for folder in ("api", "dev", "job_types", "shared", "worker"):
        shutil.copytree(ROOT / folder, project / folder)
    shutil.copy(ROOT / "pyproject.toml", project)
    (project / ".venv").symlink_to(sys.prefix)
    for block in COMMANDS.findall(PAGE):
        if "new-job-type" in block:
            run(block, project)
    for path, code in blocks().items():
        if path not in WRITTEN:
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(code)
    return project


@pytest.fixture
def service(project: Path) -> Iterator[Service]:
    """A service of the tree and of the folder beside it."""
    with serving(api=False, JOB_TYPES="job_types,my_types", PYTHONPATH=str(project.parent)) as service:
        service.stack.root = project
        service.stack.start_api()
        service.start_workers(1)
        yield service


def test_every_block_of_code_says_where_it_goes() -> None:
    assert len(blocks()) == PAGE.count("```python") == 6


def test_the_page_shows_the_files_that_the_command_writes(project: Path) -> None:
    for path in WRITTEN:
        assert blocks()[path] == (project / path).read_text()


def test_the_tests_of_the_page_pass(project: Path) -> None:
    assert "3 passed" in run(".venv/bin/python -m pytest tests", project)


def test_the_tests_beside_the_tree_pass(project: Path) -> None:
    test, start = commands("PYTHONPATH=..").splitlines()
    assert "1 passed" in run(test, project)
    assert start.endswith(" make dev")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands need curl")
def test_the_requests_of_the_page_are_answered_as_it_says(service: Service, tmp_path: Path) -> None:
    reverse, redact = [
        commands(beginning).replace("localhost:8000", service.stack.api_url)
        for beginning in ("curl -s localhost:8000/jobs", "printf")
    ]
    assert '"result":{"text":"desserts"}' in run(reverse, tmp_path)
    assert run(redact, tmp_path) == "The ██████ word\n"
    assert '"result":{"text":"desserts"}' in run(reverse.replace('"reverse"', '"backwards"'), tmp_path)


def test_the_image_of_ones_own_adds_the_package_to_ours() -> None:
    (lines,) = [block.splitlines() for block in DOCKERFILE.findall(PAGE)]
    assert len(lines) == 3
    assert re.search(r"^name: job-server$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)
    assert lines[0] == "FROM job-server-worker"  # compose names an image for its project and service


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["sh", "-euc", command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
