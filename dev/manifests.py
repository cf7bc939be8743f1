"""The manifests of Kubernetes: `python -m dev.manifests` builds them and exits 1 if a schema refuses one.

kustomize 5 builds them, alone or as a part of kubectl 1.27 or newer; without both dev/kustomize.py does.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from pydantic import ValidationError

from dev import kustomize
from dev.keda import KINDS, is_keda
from dev.kustomize import Manifest, UnbuildableManifests
from dev.stack import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
BUILT = ("base", "queue-groups/models", "overlays/single", "overlays/sentinel", "overlays/cluster")
VALIDATE = ROOT / ".venv-checks" / "bin" / "kubernetes-validate"
VERSIONS = (
    "1.30",
    "1.37",
)  # of Kubernetes: the oldest that is supported, and the newest whose schemas are installed
OLDEST_KUSTOMIZE = 5


def main() -> int:
    try:
        built = [manifest for name in BUILT for manifest in build(FOLDER / name)]
    except UnbuildableManifests as error:
        print(error)
        return 1
    faults = list(find_faults(built))
    builder = Path(found[0]).name if (found := find_kustomize()) else "dev/kustomize.py"
    print("\n".join(faults) or f"kubernetes-validate: no errors in {', '.join(BUILT)}, built by {builder}.")
    return 1 if faults else 0


def find_kustomize() -> tuple[str, ...] | None:
    """The command that builds a folder, or None if there is none that is new enough."""
    commands = {("kustomize", "build"): ("version",), ("kubectl", "kustomize"): ("version", "--client")}
    for (name, *words), version in commands.items():
        program = shutil.which(name)
        if program and _version_of_kustomize(program, *version) >= OLDEST_KUSTOMIZE:
            return (program, *words)
    return None


def _version_of_kustomize(*command: str) -> int:
    """The major version that a program tells; 0 for kubectl before 1.27, which tells none."""
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"(?:^|Kustomize Version: |kustomize/)v(\d+)\.", told, re.MULTILINE)
    return int(found[1]) if found else 0


def build(folder: Path) -> list[Manifest]:
    """The manifests of a folder with a kustomization.

    Raises:
        UnbuildableManifests: the builder refuses the folder.
    """
    command = find_kustomize()
    if command is None:
        return kustomize.build(folder)
    ended = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise UnbuildableManifests(ended.stderr.strip())
    return list(yaml.safe_load_all(ended.stdout))


def find_faults(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The faults that the schemas of Kubernetes and KEDA find; a manifest of several folders is read once."""
    distinct = {json.dumps(manifest, sort_keys=True): manifest for manifest in manifests}.values()
    yield from faults_of_keda([manifest for manifest in distinct if is_keda(manifest)])
    yield from faults_of_core([manifest for manifest in distinct if not is_keda(manifest)])


def faults_of_keda(manifests: Sequence[Manifest]) -> Iterator[str]:
    for manifest in manifests:
        title = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] not in KINDS:
            yield f"{title}: dev/keda.py does not know this kind; describe it there."
            continue
        try:
            KINDS[manifest["kind"]].model_validate(manifest)
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False):
                yield f"{title}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def faults_of_core(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The lines of kubernetes-validate that are no success."""
    versions = [option for version in VERSIONS for option in ("-k", version)]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "manifests.yaml"
        file.write_text("\n---\n".join(map(json.dumps, manifests)))
        command: list[str | Path] = [VALIDATE, "--strict", "--quiet", *versions, file]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.replace(f"{file} ", "") for line in (ended.stdout + ended.stderr).splitlines()]
    yield from lines
    if ended.returncode and not lines:
        yield f"kubernetes-validate ended with exit code {ended.returncode}."


if __name__ == "__main__":
    sys.exit(main())
