"""`python -m dev new-job-type`: its files pass every check, and both processes run jobs of the new type."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev.service import serving
from dev.stack import ROOT

IN_TREE, BESIDE = "turn_around", "turn_back"
OPTIONS = {IN_TREE: [], BESIDE: ["--package", "../my_types"]}
WRITTEN = {
    IN_TREE: ("job_types/turn_around", "tests/unit/job_types/test_turn_around.py"),
    BESIDE: ("../my_types/turn_back", "../my_types/turn_back/test_turn_back.py"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, bytecode included."""
    tree = tmp_path_factory.mktemp("new") / "tree"
    for folder in ("api", "dev", "job_types", "shared", "worker"):
        shutil.copytree(ROOT / folder, tree / folder)
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


@pytest.fixture(scope="module")
def written(tree: Path) -> list[str]:
    """The files of two new job types, one of them in the tree and one beside it."""
    written = []
    for name, (folder, test) in WRITTEN.items():
        done = python(tree, "dev", "new-job-type", name, *OPTIONS[name])
        assert done.returncode == 0, done.stderr
        files = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  written")]
        assert {f"{folder}/contract.py", f"{folder}/handler.py", test} <= set(files)
        written += files
    return written


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


@pytest.mark.parametrize("check", ["ruff format --check", "ruff check", "mypy"])
def test_the_new_files_pass_each_check(tree: Path, written: list[str], check: str) -> None:
    checked = python(tree, *check.split(), *written)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_new_tests_pass(tree: Path, written: list[str]) -> None:
    tests = [test for _, test in WRITTEN.values()]
    done = python(tree, "pytest", "-c", "pyproject.toml", *tests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_jobs_of_the_new_types_are_done(tree: Path, written: list[str]) -> None:
    with serving(api=False, JOB_TYPES="job_types,my_types", PYTHONPATH=str(tree.parent)) as service:
        service.stack.root = tree
        service.stack.start_api()
        service.start_workers(1)
        for name in WRITTEN:
            assert service.run(name, text="stressed")["result"] == {"text": "desserts"}


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
