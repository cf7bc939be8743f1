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
EXTRAS = {
    "requirements-dev.txt": ("worker", "dev"),
    "requirements.txt": (),
    "requirements-worker.txt": ("worker",),
    "requirements-models.txt": ("worker", "models"),
    "requirements-telemetry.txt": ("telemetry",),
    "requirements-models-dev.txt": ("worker", "dev", "models", "models-dev"),
}
"""The extras of pyproject.toml in each lock."""

FIRST_LOCK, *OTHER_LOCKS = EXTRAS
"""The others keep to the versions of the first one: images hold what is tested, and several fit together."""
INPUTS = {
    "dev/requirements-checks.txt": "dev/requirements-checks.in",
    "benchmarks/requirements.txt": "benchmarks/requirements.in",
    "benchmarks/requirements-inference.txt": "benchmarks/requirements-inference.in",
    "benchmarks/requirements-peers.txt": "benchmarks/requirements-peers.in",
}
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def main() -> int:
    if "--check" in sys.argv[1:]:
        faults = list(find_faults())
        print("\n".join(faults) or "The locks fit pyproject.toml.")
        return 1 if faults else 0
    for lock in (*EXTRAS, *INPUTS):
        command = [sys.executable, "-m", "uv", *COMPILE, *sources_of(lock), "--output-file", lock]
        subprocess.run(command, cwd=ROOT, check=True)
    return 0


def sources_of(lock: str) -> Iterable[str]:
    """The arguments that name the requirements of a lock."""
    if lock in INPUTS:
        return [INPUTS[lock]]
    extras = [argument for name in EXTRAS[lock] for argument in ("--extra", name)]
    return ["pyproject.toml", *extras, *(("--constraint", FIRST_LOCK) if lock != FIRST_LOCK else ())]


def find_faults() -> Iterable[str]:
    """The faults: a missing requirement, a pinned version that a requirement excludes, an address."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed, extras = project["dependencies"], project["optional-dependencies"]
    for lock, names in EXTRAS.items():
        requirements = needed + [requirement for name in names for requirement in extras[name]]
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
