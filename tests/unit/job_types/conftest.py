"""Fixtures of the tests of job types."""

from pathlib import Path

import pytest

from tests.unit.job_types.packages import Packages


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    """Packages of job types in an empty folder."""
    return Packages(tmp_path, monkeypatch)
