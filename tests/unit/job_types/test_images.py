"""The images hold the folders that their process needs; the API's image has contracts and no handler."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev.stack import ROOT
from shared.job_type_loader import load_job_types

COPY = re.compile(r"^COPY (?!--from)(\S+) ", re.MULTILINE)
DELETE = re.compile(r"^RUN (find job_types .* -delete) \\$", re.MULTILINE)


def dockerfile(name: str) -> str:
    return (ROOT / f"Dockerfile.{name}").read_text()


@pytest.mark.parametrize("name", ["api", "worker"])
def test_the_build_may_copy_every_folder_that_the_image_holds(name: str):
    copied = set(COPY.findall(dockerfile(name)))
    assert {"job_types", "shared", name} <= copied
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert copied <= set(allowed)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The folders of the API's image after the build has removed what it removes."""
    for name in COPY.findall(dockerfile("api")):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (command,) = DELETE.findall(dockerfile("api"))
    subprocess.run(["sh", "-euc", command], cwd=tmp_path, check=True)
    return tmp_path


def test_the_image_of_the_api_has_no_handler(image: Path):
    files = {path.name for path in (image / "job_types").rglob("*") if path.is_file()}
    assert files == {"__init__.py", "contract.py"}


def test_the_image_of_the_api_has_every_job_type(image: Path):
    script = (
        "import api.main as m; from shared.job_type_loader import load_job_types as f; m.app; print(*f())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=image,
        env={"PATH": "/usr/bin:/bin", "REDIS_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == list(load_job_types()), done.stderr
