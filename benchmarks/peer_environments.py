"""The environments of the peers: that of the benchmarks, and `.venv-bench-peers` with newer packages.

The newest releases of some peers need a client of Redis that arq and saq exclude.
"""

import sys
from importlib.metadata import distributions

from dev.stack import ROOT

OWN = ROOT / ".venv-bench-peers"
IN_OWN = frozenset({"celery", "docket", "dramatiq", "rq", "streaq", "taskiq"})


def find_python(module: str) -> str:
    """The interpreter of a module in benchmarks/peers."""
    return str(OWN / "bin" / "python") if module in IN_OWN else sys.executable


def find_version(module: str, package: str) -> str:
    """The version of a package in the environment of a module in benchmarks/peers."""
    folders = [str(folder) for folder in OWN.glob("lib/python*/site-packages")]
    path = folders if module in IN_OWN else sys.path
    found = next(iter(distributions(name=package, path=path)), None)
    if found is None:
        raise RuntimeError(f"{package} is not installed for {module}; run make bench, which installs it.")
    return found.version
