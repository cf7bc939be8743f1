"""`python -m dev new-job-type`: its files pass every check, and both processes run jobs of the new type."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev.service import Service, serving
from dev.stack import ROOT

WHERE = {
    "in the tree": ([], "job_types/turn_around", "tests/unit/job_types/test_turn_around.py"),
    "beside the tree": (
        ["--package", "../my_types"],
        "../my_types/turn_around",
        "../my_types/turn_around/test_turn_around.py",
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree."""
    tree = tmp_path / "tree"
    for folder in ("api", "dev", "job_types", "shared", "worker"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


def python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module in the tree, with the folder beside it on the path."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=tree,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ".."},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("options", "folder", "test"), WHERE.values(), ids=WHERE)
def test_the_new_files_pass_all_checks(tree: Path, options: list[str], folder: str, test: str) -> None:
    done = python(tree, "dev", "new-job-type", "turn_around", *options)
    assert done.returncode == 0, done.stderr
    written = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  written")]
    assert {f"{folder}/contract.py", f"{folder}/handler.py", test} <= set(written)
    for check in (
        ["pytest", "-c", "pyproject.toml", test],
        ["ruff", "format", "--check", *written],
        ["ruff", "check", *written],
        ["mypy", *written],
    ):
        checked = python(tree, *check)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(("options", "folder", "test"), WHERE.values(), ids=WHERE)
def test_a_job_of_the_new_type_is_done(tree: Path, options: list[str], folder: str, test: str) -> None:
    assert python(tree, "dev", "new-job-type", "turn_around", *options).returncode == 0
    packages = "job_types,my_types" if options else "job_types"
    with serving(api=False, JOB_TYPES=packages, PYTHONPATH=str(tree.parent)) as service:
        service.stack.root = tree
        service.stack.start_api()
        service.start_workers(1)
        assert result_of(service) == {"text": "desserts"}


def result_of(service: Service) -> object:
    return service.wait_for(service.submit("turn_around", text="stressed"), "completed")["result"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["turn-around"], "The job type 'turn-around' needs another name: up to 40 lower-case letters"),
        (["TurnAround"], "The job type 'TurnAround' needs another name"),
        (["2nd"], "The job type '2nd' needs another name"),
        (["../echo"], "The job type '../echo' needs another name"),
        (["class"], "'class' has another meaning in the new files: choose another name, such as class_text"),
        (["sum"], "'sum' has another meaning"),
        (["echo"], "job_types/echo exists; choose another name, or remove that folder"),
        (["turn", "--package", "../my-types"], "The package 'my-types' needs another name"),
        (
            ["turn", "--package", "../types"],
            "'types' is a module of Python or of this tree: choose another name",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_name_that_is_not_usable_is_refused(tree: Path, arguments: list[str], reason: str) -> None:
    before = sorted(tree.parent.rglob("*.py"))
    done = python(tree, "dev", "new-job-type", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(reason)
    assert sorted(tree.parent.rglob("*.py")) == before
