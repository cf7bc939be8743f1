"""docs/operations.md names every alert, and has the sections that the alerts send their reader to."""

import re
from typing import Any

import yaml

from dev.stack import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()
GROUPS: list[dict[str, Any]] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())[
    "groups"
]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}


def test_the_page_names_every_alert_in_their_order():
    assert re.findall(r"^\| `(JobServer\w+)` \|", PAGE, re.MULTILINE) == list(ALERTS)


def test_every_section_that_an_alert_names_is_there():
    headings = set(re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE))
    named = [
        heading
        for rule in ALERTS.values()
        for heading in re.findall(r'"([^"]+)" in docs/operations\.md', rule["annotations"]["runbook"])
    ]
    assert named
    assert [heading for heading in named if heading not in headings] == []
