"""The distribution holds every file that a process of the service reads."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

from dev.stack import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
INSTALLED = ("api", "client", "job_types", "shared", "worker")
FILES = sorted(
    path
    for name in INSTALLED
    for path in (ROOT / name).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)
MODULES = [path for path in FILES if path.suffix == ".py"]
DATA = [path for path in FILES if path.suffix != ".py"]


def test_every_package_is_found():
    find = SETUPTOOLS["packages"]["find"]
    assert {path.parent.name for path in MODULES} >= set(INSTALLED)
    for folder in {path.parent for path in MODULES}:
        assert any(fnmatch(package_of(folder), pattern) for pattern in find["include"]), folder
        assert (folder / "__init__.py").exists(), f"{folder} needs an __init__.py to be installed"


def test_every_file_that_is_no_module_is_package_data():
    patterns = [
        ROOT / package.replace(".", "/") / pattern
        for package, names in SETUPTOOLS["package-data"].items()
        for pattern in names
    ]
    assert len(DATA) > 10  # the Lua scripts at least
    for path in DATA:
        assert any(fnmatch(str(path), str(pattern)) for pattern in patterns), path


def package_of(folder: Path) -> str:
    return ".".join(folder.relative_to(ROOT).parts)
