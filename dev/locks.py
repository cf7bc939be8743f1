"""The lock files: compiled from pyproject.toml, with hashes for all platforms and without addresses.

`python -m dev.locks` refreshes them to the newest versions. With `--check` the exit code is 1 if they do not
fit pyproject.toml.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dev.stack import ROOT

COMPILE = ("pip", "compile", "--universal", "--generate-hashes", "--no-header", "--upgrade", "--quiet")
SOURCES = {
    "requirements.txt": ("pyproject.toml",),
    "requirements-worker.txt": ("pyproject.toml", "--extra", "worker"),
    "requirements-dev.txt": ("pyproject.toml", "--extra", "worker", "--extra", "dev"),
    "benchmarks/requirements.txt": ("benchmarks/requirements.in",),
    "benchmarks/requirements-inference.txt": ("benchmarks/requirements-inference.in",),
    "benchmarks/requirements-peers.txt": ("benchmarks/requirements-peers.in",),
}
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def main() -> int:
    if "--check" in sys.argv[1:]:
        faults = list(find_faults())
        print("\n".join(faults) or "The locks fit pyproject.toml.")
        return 1 if faults else 0
    for lock, sources in SOURCES.items():
        command = [sys.executable, "-m", "uv", *COMPILE, *sources, "--output-file", lock]
        subprocess.run(command, cwd=ROOT, check=True)
    return 0


def find_faults() -> Iterable[str]:
    """The faults: a missing requirement, a pinned version that a requirement excludes, an address."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed, extras = project["dependencies"], project["optional-dependencies"]
    for lock, requirements in (
        ("requirements.txt", needed),
        ("requirements-worker.txt", needed + extras["worker"]),
        ("requirements-dev.txt", needed + extras["worker"] + extras["dev"]),
    ):
        text = (ROOT / lock).read_text()
        pinned = {canonicalize_name(name): version for name, version in PINNED.findall(text)}
        for requirement in map(Requirement, requirements):
            version = pinned.get(canonicalize_name(requirement.name))
            if version is None or version not in requirement.specifier:
                yield f"{lock} has {version or 'nothing'} for {requirement}; run make lock."
        if "://" in text:
            yield f"{lock} names an address; run make lock."


if __name__ == "__main__":
    raise SystemExit(main())
