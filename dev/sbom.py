"""Bills of materials: the packages of each image as CycloneDX JSON in `sbom/`, made by `make sbom`."""

import subprocess
from pathlib import Path

from dev.stack import ROOT

PYTHON = ROOT / ".venv-checks" / "bin" / "python"
LOCKS = {
    "api": "requirements.txt",
    "worker": "requirements-worker.txt",
    "models": "requirements-models.txt",
    "telemetry": "requirements-telemetry.txt",
}
"""The locks of the images; with TELEMETRY_REQUIREMENTS an image has the packages of the last one too."""

# The same lock makes the same file, and a file that does not fit CycloneDX's schema is an error. The warning
# that is ignored says that a lock does not tell which package needs which.
COMMAND = (
    *(str(PYTHON), "-W", "ignore", "-m", "cyclonedx_py", "requirements"),
    *("--pyproject", "pyproject.toml", "--output-reproducible", "--validate"),
)


def main() -> int:
    folder = ROOT / "sbom"
    folder.mkdir(exist_ok=True)
    for image in LOCKS:
        print(write_bill(image, folder).relative_to(ROOT))
    return 0


def write_bill(image: str, folder: Path) -> Path:
    """Write the bill of an image; returns its file."""
    file = folder / f"{image}.cdx.json"
    subprocess.run([*COMMAND, "--output-file", str(file), LOCKS[image]], cwd=ROOT, check=True)
    return file


if __name__ == "__main__":
    raise SystemExit(main())
