"""docs/walk-through.md: each function that it names is defined in the file that it names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/walk-through.md").read_text()
STEP = re.compile(r"\[([\w/]+\.(?:py|lua))\]\(\.\./\1\) `([\w.]+)`")
STEPS = [(file, name) for file, names in STEP.findall(PAGE) for name in names.split(".")]


def test_the_page_follows_the_job_through_many_files():
    assert len({file for file, _ in STEPS}) >= 20


def test_every_link_shows_the_file_that_it_leads_to():
    links = re.findall(r"\[([^\]]*/[^\]]*)\]\(\.\./([^)]*)\)", PAGE)
    assert links
    assert [link for link in links if link[0] != link[1]] == []


@pytest.mark.parametrize(("file", "name"), sorted(set(STEPS)))
def test_every_function_is_in_its_file(file: str, name: str):
    definition = re.compile(rf"^\s*(?:async def|def|class|local function) {name}\b", re.MULTILINE)
    assert definition.search((ROOT / file).read_text())
