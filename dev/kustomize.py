"""Manifests as kustomize 5 builds them from the fields that deploy/kubernetes uses.

`make check` validates the manifests with it where kustomize is missing. It refuses a field or a kind that it
does not know. Where kustomize is installed a test compares the two.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from dev.keda import is_keda

Manifest = dict[str, Any]

NEEDS_HASH = "needs hash"  # marks a generated ConfigMap until its name gets the hash of its content
WITHOUT_NAMESPACE = {"Namespace"}
OF_A_GROUP = {"ServiceAccount", "Deployment", "PodDisruptionBudget", "ScaledObject"}
"""The kinds that get a suffix and labels."""
MERGE_KEYS = {"containers": "name", "env": "name", "volumeMounts": "mountPath", "volumes": "name"}
NAMES_OF = {  # the fields that name another manifest of a kind
    "ServiceAccount": ("serviceAccountName",),
    "ConfigMap": ("configMap", "configMapRef", "configMapKeyRef"),
}


class UnbuildableManifests(Exception):
    """A folder can't be built; the message says why."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel, validate_by_name=False)


class ConfigMapArguments(Part):
    name: str
    behavior: Literal["create", "merge"] = "create"
    literals: list[Annotated[str, Field(pattern=r"^\w+=([^\"'].*)?$")]] = []
    files: list[Annotated[str, Field(pattern=r"^[^=]+$")]] = []


class Labels(Part):
    pairs: dict[str, str]
    include_selectors: Literal[True]


class Patch(Part):
    path: str


class Image(Part):
    name: str
    new_name: str | None = None
    new_tag: str | None = None


class Kustomization(Part):
    api_version: Literal["kustomize.config.k8s.io/v1beta1"]
    kind: Literal["Kustomization"]
    namespace: str | None = None
    resources: list[str]
    config_map_generator: list[ConfigMapArguments] = []
    name_suffix: str = ""
    labels: list[Labels] = []
    patches: list[Patch] = []
    images: list[Image] = []


def build(folder: Path) -> list[Manifest]:
    """The manifests of a folder with a kustomization.

    Raises:
        UnbuildableManifests: a file is missing or has a fault, or is beyond what is known here.
    """
    try:
        manifests = read(folder)
    except (OSError, ValidationError, yaml.YAMLError) as error:
        raise UnbuildableManifests(f"{folder}: {error}") from error
    for manifest in [found for found in manifests if found.pop(NEEDS_HASH, False)]:
        rename(manifest, f"{manifest['metadata']['name']}-{content_hash(manifest)}", manifests)
    return manifests


def read(folder: Path) -> list[Manifest]:
    """The manifests of a folder, before generated names get their hashes."""
    wanted = Kustomization.model_validate(yaml.safe_load((folder / "kustomization.yaml").read_text()))
    manifests = [manifest for name in wanted.resources for manifest in read_resource(folder / name)]
    for arguments in wanted.config_map_generator:
        generate(arguments, folder, manifests)
    for patch in wanted.patches:
        for change in yaml.safe_load_all((folder / patch.path).read_text()):
            target = find(manifests, change["kind"], change["metadata"]["name"])
            target.update(merged(target, change, open_lists=not is_keda(target)))
    for manifest in manifests:
        if wanted.namespace:
            set_namespace(manifest, wanted.namespace)
        if wanted.name_suffix:
            must_be_known(manifest, OF_A_GROUP, "nameSuffix")
            rename(manifest, manifest["metadata"]["name"] + wanted.name_suffix, manifests)
        for labels in wanted.labels:
            add_labels(manifest, labels.pairs)
        for image in wanted.images:
            set_image(manifest, image)
    refuse_repeated(manifests)
    return manifests


def read_resource(path: Path) -> list[Manifest]:
    return read(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def find(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    found = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    if len(found) != 1:
        raise UnbuildableManifests(f"{kind}/{name}: {len(found)} manifests have this name; one is needed.")
    return found[0]


def refuse_repeated(manifests: Sequence[Manifest]) -> None:
    for manifest in manifests:
        find(manifests, manifest["kind"], manifest["metadata"]["name"])


def must_be_known(manifest: Manifest, kinds: set[str], field: str) -> None:
    if manifest["kind"] not in kinds:
        raise UnbuildableManifests(f"{field}: dev/kustomize.py does not know it for {manifest['kind']}.")


# -- the fields of a kustomization


def generate(arguments: ConfigMapArguments, folder: Path, manifests: list[Manifest]) -> None:
    """Make a ConfigMap, or add to one that there is."""
    data = dict(literal.split("=", 1) for literal in arguments.literals)
    data |= {Path(name).name: (folder / name).read_text() for name in arguments.files}
    if arguments.behavior == "merge":
        find(manifests, "ConfigMap", arguments.name)["data"].update(data)
    else:
        metadata = {"name": arguments.name}
        manifests.append(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data, NEEDS_HASH: True}
        )


def merged(old: Any, change: Any, *, open_lists: bool, field: str = "") -> Any:
    """A strategic merge: mappings are merged, and lists of built-in kinds by the name of their entries."""
    if isinstance(old, dict) and isinstance(change, dict):
        if any(value is None or name.startswith("$") for name, value in change.items()):
            raise UnbuildableManifests(f"{field}: dev/kustomize.py does not know how to delete by a patch.")
        return old | {
            name: merged(old.get(name), value, open_lists=open_lists, field=name)
            for name, value in change.items()
        }
    if open_lists and isinstance(old, list) and any(isinstance(entry, dict) for entry in old):
        if field not in MERGE_KEYS:
            raise UnbuildableManifests(f"{field}: dev/kustomize.py does not know how to merge these lists.")
        return merged_lists(old, change, MERGE_KEYS[field])
    return change


def merged_lists(old: list[Any], change: list[Any], key: str) -> list[Any]:
    """New entries come first, as in kustomize."""
    entries = {entry[key]: entry for entry in old}
    changed = {
        entry[key]: merged(entries.get(entry[key], {}), entry, open_lists=True, field=key) for entry in change
    }
    return [*changed.values(), *(entry for name, entry in entries.items() if name not in changed)]


def set_namespace(manifest: Manifest, namespace: str) -> None:
    field = "name" if manifest["kind"] in WITHOUT_NAMESPACE else "namespace"
    manifest["metadata"][field] = namespace


def rename(manifest: Manifest, name: str, manifests: Sequence[Manifest]) -> None:
    """Give a manifest another name, wherever it stands."""
    former, manifest["metadata"]["name"] = manifest["metadata"]["name"], name
    for field, mapping in mappings(list(manifests)):
        for reference in NAMES_OF.get(manifest["kind"], ()):
            if mapping.get(reference) == former:
                mapping[reference] = name
            elif field == reference and mapping.get("name") == former:
                mapping["name"] = name


def add_labels(manifest: Manifest, pairs: dict[str, str]) -> None:
    """Label a manifest and its pods, and select pods by the label."""
    must_be_known(manifest, OF_A_GROUP, "labels")
    manifest["metadata"].setdefault("labels", {}).update(pairs)
    for field, mapping in mappings(manifest.get("spec", {})):
        if field == "matchLabels":
            mapping.update(pairs)
        if field == "template":
            mapping["metadata"]["labels"].update(pairs)


def set_image(manifest: Manifest, image: Image) -> None:
    for _, mapping in mappings(manifest):
        name, _, tag = str(mapping.get("image", "")).partition(":")
        if name == image.name:
            tag = image.new_tag or tag
            mapping["image"] = (image.new_name or name) + (f":{tag}" if tag else "")


def mappings(part: Any, field: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All mappings within a part of a manifest, each with the name of its field."""
    if isinstance(part, dict):
        yield field, part
    for name, value in part.items() if isinstance(part, dict) else ():
        yield from mappings(value, name)
    for entry in part if isinstance(part, list) else ():
        yield from mappings(entry, field)


def content_hash(config_map: Manifest) -> str:
    """The hash that kustomize appends to the name, in its alphabet without vowels and look-alikes."""
    content = {"data": config_map["data"], "kind": "ConfigMap", "name": ""}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&":  # Go escapes them
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(str.maketrans("013ae", "ghkmt"))
