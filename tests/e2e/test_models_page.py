"""docs/models.md is true: its example runs as it says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.service import Service, serving
from dev.stack import ROOT

PAGE = (ROOT / "docs/models.md").read_text()
CODE = re.compile(r"^```python\n# (?P<path>\S+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
BODY = re.compile(r"-d '(?P<body>\{.*\})'")
MOST_LINES = 30


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with the package of the page, which is beside the tree."""
    for block in CODE.finditer(PAGE):
        path = tmp_path / block["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["code"])
    settings = {"JOB_TYPES": "job_types,my_models", "WORKER_QUEUES": "default,sentiment"}
    with serving(workers=1, PYTHONPATH=str(tmp_path), WORKER_CONCURRENCY="64", **settings) as service:
        yield service


def test_the_example_is_two_small_files() -> None:
    codes = [block["code"] for block in CODE.finditer(PAGE)]
    assert len(codes) == 2
    assert all(len(code.strip().splitlines()) <= MOST_LINES for code in codes)


def test_the_request_of_the_page_is_answered(service: Service) -> None:
    (body,) = BODY.findall(PAGE)
    headers = {"content-type": "application/json"}
    job = service.call("POST", "/jobs?wait=60", content=body, headers=headers).json()
    assert job["state"] == "completed"
    assert round(job["result"]["friendly"], 3) == 0.881
