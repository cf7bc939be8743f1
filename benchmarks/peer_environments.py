"""The environments of the peers: that of the benchmarks, and those of peers with other requirements.

The newest releases of some peers need a client of Redis that arq and saq exclude; those of the peers that
serve models exclude the requirements of these in turn.
"""

import sys
from importlib.metadata import distributions
from pathlib import Path

from dev.stack import ROOT

OWN = {
    ROOT / ".venv-bench-peers": ("celery", "docket", "dramatiq", "rq", "streaq", "taskiq"),
    ROOT / ".venv-bench-inference": ("bentoml_server", "litserve_server"),
}
FOLDERS = {module: folder for folder, modules in OWN.items() for module in modules}


def find_python(module: str) -> str:
    """The interpreter of a peer's module."""
    return str(FOLDERS[module] / "bin" / "python") if module in FOLDERS else sys.executable


def find_version(module: str, package: str) -> str:
    """The version of a package in the environment of a peer's module."""
    found = next(iter(distributions(name=package, path=_search_path(module))), None)
    if found is None:
        raise RuntimeError(f"{package} is not installed for {module}; run make bench, which installs it.")
    return found.version


def _search_path(module: str) -> list[str]:
    folder: Path | None = FOLDERS.get(module)
    return [str(found) for found in folder.glob("lib/python*/site-packages")] if folder else sys.path
