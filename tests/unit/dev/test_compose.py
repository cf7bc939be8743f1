"""docker-compose.yml: its services start again, and have limits."""

from typing import Any

import pytest
import yaml

from dev.stack import ROOT

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_ends_is_started_again(name: str):
    """Whatever its exit code: a worker that is to be replaced ends with 0."""
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_and_may_do_little(name: str):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert {"mem_limit", "pids_limit", "logging"} <= service.keys()
