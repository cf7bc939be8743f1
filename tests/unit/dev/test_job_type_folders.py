"""`make dev` watches the folders of the packages in JOB_TYPES; `make demo` runs beside any of them."""

from pathlib import Path

import pytest

from dev.__main__ import job_type_folders
from dev.demo import packages
from dev.stack import ROOT


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder with two packages."""
    (tmp_path / "my_types").mkdir()
    (tmp_path / "acme/types").mkdir(parents=True)
    return tmp_path


def test_by_default_the_folder_of_the_tree_is_watched():
    assert job_type_folders({}) == [str(ROOT / "job_types")]
    assert job_type_folders({"JOB_TYPES": "job_types"}) == [str(ROOT / "job_types")]


def test_packages_on_the_path_are_watched(beside: Path):
    environment = {
        "JOB_TYPES": "job_types, my_types,acme.types,installed",
        "PYTHONPATH": f"/nowhere:{beside}",
    }
    assert job_type_folders(environment) == [
        str(ROOT / "job_types"), str(beside / "my_types"), str(beside / "acme/types")
    ]  # fmt: skip


def test_a_relative_path_starts_at_the_root_of_the_tree():
    environment = {"JOB_TYPES": "routes", "PYTHONPATH": "api"}
    assert job_type_folders(environment) == [str(ROOT / "api/routes")]


def test_all_processes_of_the_procfile_watch_them():
    lines = (ROOT / "Procfile").read_text().splitlines()
    assert {line.partition(":")[0] for line in lines if "$JOB_TYPE_FOLDERS" in line} == {
        "api",
        "worker",
        "models",
    }


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("", "job_types"), ("my_types", "job_types,my_types"), ("my_types, job_types", "job_types,my_types")],
)
def test_the_demo_adds_the_types_that_it_shows(setting: str, expected: str):
    assert packages(setting) == expected
