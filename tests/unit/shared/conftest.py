"""Fixtures of the tests of settings."""

import pytest

from api.settings import ApiSettings
from worker.settings import WorkerSettings


@pytest.fixture
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without a setting of the service."""
    for name in {**ApiSettings.model_fields, **WorkerSettings.model_fields}:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
