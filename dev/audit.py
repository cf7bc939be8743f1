"""Audit of the locks for known vulnerabilities: `make audit`.

The exit code is 1 if a locked version is known to be vulnerable, and 2 if that could not be found out.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from dev import locks
from dev.stack import ROOT

PIP_AUDIT = ROOT / ".venv-checks" / "bin" / "pip-audit"
# A lock is complete and hashed: nothing is resolved or built. OSV, because the other database counts a
# package that a mirror does not know as one without a vulnerability.
OPTIONS = ("--disable-pip", "--vulnerability-service", "osv", "--format", "json", "--progress-spinner", "off")
UNREACHABLE = (
    "The audit did not reach the database of vulnerabilities: run `make audit` where there is a network."
)


def main(options: Sequence[str]) -> int:
    names = (*locks.EXTRAS, *locks.INPUTS)
    files = [argument for lock in names for argument in ("--requirement", lock)]
    ended = subprocess.run(
        [PIP_AUDIT, *OPTIONS, *options, *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    try:
        packages: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    except ValueError:  # it reports nothing until it has asked for all
        reason = (ended.stderr.splitlines() or ["no reason given"])[-1]
        print(f"{UNREACHABLE} ({reason[:160]})", file=sys.stderr)
        return 2
    skipped = sorted({package["name"] for package in packages if "skip_reason" in package})
    findings = sorted({finding for package in packages for finding in describe(package)})
    for finding in findings:
        print(finding)
    if skipped:
        print(f"Not audited: {', '.join(skipped)}.", file=sys.stderr)
        return 2
    if not findings:
        print(f"No known vulnerability in {len(packages)} packages of {len(names)} locks.")
    return 1 if findings else 0


def describe(package: dict[str, Any]) -> Iterator[str]:
    """The known vulnerabilities of a package, a line each."""
    for known in package.get("vulns", ()):
        names = ", ".join([known["id"], *known["aliases"]])
        fixed = ", ".join(known["fix_versions"])
        step = (
            f"corrected in {fixed}: run `make lock`"
            if fixed
            else "not corrected yet: look for a way around it"
        )
        yield f"{package['name']} {package['version']}: {names}; {step}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
