"""The model of `identify_file`: labels of files, each by itself."""

import json
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from dev.stack import ROOT
from job_types.identify_file.handler import identify_file, load
from shared.errors import RetryableError
from worker.models.batch import Device

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def model():
    return load(Device("cpu", 1))


def png() -> bytes:
    data = BytesIO()
    Image.radial_gradient("L").save(data, "png")
    return data.getvalue()


def zipped() -> bytes:
    data = BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", (ROOT / "README.md").read_text())
    return data.getvalue()


LINES = (
    "def total(values: list[int]) -> int:",
    "    return sum(value * 2 for value in values if value)",
    "name,amount,date",
    "pears,12,2024-05-01",
    '{"name": "pears", "amounts": [1, 2, 3], "open": true}',
    "# A heading",
    "Some *plain* words with a [link](https://example.com).",
    "<p class='note'>Some words</p>",
    "#include <stdio.h>",
    "int main(void) { return 0; }",
    "SELECT name, sum(amount) FROM fruits GROUP BY name;",
    "key: value",
)
FILES = {
    "python": (ROOT / "worker/execute.py").read_bytes(),
    "json": json.dumps({"name": ["value", 1, None]} | {f"key{n}": n for n in range(50)}, indent=1).encode(),
    "markdown": (ROOT / "docs/glossary.md").read_bytes(),
    "png": png(),
    "zip": zipped(),
    "empty": b"",
    "txt": b"hi",
    "unknown": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("label", FILES)
def test_a_file_is_known_by_its_bytes(model, tmp_path: Path, label: str):
    (file := tmp_path / "upload").write_bytes(FILES[label])
    found = model.identify(file)
    assert found.label == label
    assert 0.5 < found.score <= 1


def test_the_mime_type_and_the_kind_come_with_the_label(model, tmp_path: Path):
    (file := tmp_path / "upload").write_bytes(png())
    found = model.identify(file)
    assert (found.mime_type, found.group, found.is_text, found.extensions) == (
        "image/png",
        "image",
        False,
        ["png"],
    )


def test_a_score_is_the_same_alone_and_among_others(model, tmp_path: Path):
    """Among them are files that the model is unsure of: their scores are the first to differ."""
    files = mixed_files(tmp_path)
    together = identify_file(model, files)
    alone = [identify_file(model, [file])[0] for file in files]
    assert together == alone
    assert any(result.score < 0.9 for result in alone)


def mixed_files(folder: Path) -> list[Path]:
    """Files of lines of several languages, always the same ones."""
    rng, files = Random(1), []
    for number in range(120):
        lines = rng.choices(LINES[: rng.randint(1, len(LINES))], k=rng.randint(1, 60))
        files.append(folder / str(number))
        files[-1].write_text("\n".join(lines))
    return files


def test_a_file_that_can_not_be_read_fails_its_own_job_alone(model, tmp_path: Path):
    (file := tmp_path / "upload").write_bytes(png())
    first, second = identify_file(model, [tmp_path / "missing", file])
    assert isinstance(first, RetryableError)
    assert second.label == "png"


def test_a_bound_of_threads_is_kept():
    script = (
        "import threading, pathlib\n"
        "from job_types.identify_file.model import Model\n"
        "before = len(list(pathlib.Path('/proc/self/task').iterdir()))\n"
        "model = Model(3)\n"
        "print(len(list(pathlib.Path('/proc/self/task').iterdir())) - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == 2  # besides the thread that calls
