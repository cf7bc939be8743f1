"""Fixtures of the tests of job types."""

from pathlib import Path

import pytest

from job_types.csv_profile import profile as computing
from tests.unit.job_types.csv_profiles import Profiles
from tests.unit.job_types.packages import Packages


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    """Packages of job types in an empty folder."""
    return Packages(tmp_path, monkeypatch)


@pytest.fixture(params=["together", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small files are profiled by other statements than large ones; both ways must find the same."""
    if request.param == "one by one":
        monkeypatch.setattr(computing, "SMALL_BYTES", -1)
    return str(request.param)


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    """A harness of `csv_profile`, with an empty folder for its temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    return Profiles(tmp_path)
