"""The linters of the API's OpenAPI document: `python -m dev.linters` exits 1 if one finds an error.

openapi-spec-validator always runs. Spectral and Redocly need npx, which fetches them; without it they are
skipped, with a line that says so.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from api.main import create_app
from api.settings import ApiSettings
from dev.stack import ROOT

SECONDS = 120.0  # the longest call of npx
KEY = f"somebody:read+write:{'0' * 64}"


@dataclass(frozen=True, slots=True)
class Linter:
    """A linter from npm.

    Attributes:
        package: the package and its version.
        command: the arguments before the files.
    """

    package: str
    command: tuple[str, ...]


SPECTRAL = Linter(
    "@stoplight/spectral-cli@6.16.3",
    ("lint", "--ruleset", str(ROOT / "dev" / "spectral.yaml"), "--fail-severity", "error"),
)
REDOCLY = Linter(
    "@redocly/cli@2.77.0",
    # Health and lists without parameters have no 4XX; the linter follows no reference in an extension.
    (
        *("lint", "--extends", "recommended", "--format", "stylish"),
        *("--skip-rule", "operation-4xx-response", "--skip-rule", "no-unused-components"),
    ),
)


def main() -> int:
    documents = {"open": describe(), "with-keys": describe(api_keys=KEY)}
    faults = [f"{name}: {fault}" for name, document in documents.items() for fault in validate(document)]
    print("\n".join(faults) or "openapi-spec-validator: no errors.")
    good = not faults
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.json" for name in documents]
        for file, document in zip(files, documents.values(), strict=True):
            file.write_text(json.dumps(document))
        for linter in (SPECTRAL, REDOCLY):
            good &= lint(linter, files)
    return 0 if good else 1


def describe(**settings: Any) -> dict[str, Any]:
    """The OpenAPI document of an API with these settings."""
    return create_app(ApiSettings(**settings)).openapi()


def validate(document: dict[str, Any]) -> Iterator[str]:
    """The errors that openapi-spec-validator finds."""
    for error in OpenAPIV31SpecValidator(document).iter_errors():
        yield f"{'/'.join(map(str, error.absolute_path))}: {error.message}"


def lint(linter: Linter, files: list[Path]) -> bool:
    """Run a linter; returns False if it finds errors, and prints them. A linter without npx is skipped."""
    if reason := reason_to_skip(linter):
        print(f"{linter.package}: skipped, {reason}.")
        return True
    ended = npx(linter, *linter.command, *map(str, files))
    if ended.returncode == 0:
        print(f"{linter.package}: no errors.")
        return True
    print(f"{linter.package} found errors:\n{ended.stdout}{ended.stderr}")
    return False


def reason_to_skip(linter: Linter) -> str | None:
    """The reason why a linter can't run here, or None."""
    if shutil.which("npx") is None:
        return "npx is missing; install Node.js for it"
    try:
        ended = npx(linter, "--version")
    except subprocess.TimeoutExpired:
        return f"npx did not fetch it in {SECONDS:.0f} s; try again with a network"
    if ended.returncode != 0:
        return "npx can't fetch or run it; try again with a network and a newer Node.js"
    return None


def npx(linter: Linter, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a linter, fetched first if necessary."""
    settings = {
        "REDOCLY_TELEMETRY": "off",
        "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
        "npm_config_prefer_offline": "true",
        "npm_config_fetch_retries": "0",  # without a network, more retries took 75 s
    }
    return subprocess.run(
        [shutil.which("npx") or "npx", "--yes", linter.package, *arguments],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


if __name__ == "__main__":
    sys.exit(main())
