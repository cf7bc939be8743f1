"""The builder of manifests: what it makes is what kustomize makes, and what it does not know is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import kustomize, manifests
from dev.kustomize import UnbuildableManifests
from tests.unit.dev.manifest_parts import Manifest

HEAD = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
POD = """
apiVersion: v1
kind: Namespace
metadata: {name: before}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  selector:
    matchLabels: {app: worker}
  template:
    metadata:
      labels: {app: worker}
    spec:
      containers:
        - name: worker
          image: job-server-worker
          envFrom:
            - configMapRef: {name: settings}
          env:
            - {name: A, value: "1"}
            - {name: B, value: "2"}
      volumes:
        - name: settings
          configMap: {name: settings}
        - name: secret
          secret: {secretName: settings, defaultMode: 0440}
"""
PATCH = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  template:
    spec:
      containers:
        - name: worker
          env:
            - {name: C, value: "3"}
            - {name: B, value: "two"}
      volumes:
        - name: tmp
          emptyDir: {}
"""
BASE = f"""{HEAD}
resources: [pod.yaml]
configMapGenerator:
  - name: settings
    literals: ["URL=a://b?c=d&e=<f>", EMPTY=]
    files: [script.sh]
patches:
  - path: patch.yaml
"""
TOP = f"""{HEAD}
namespace: after
resources: [../base]
configMapGenerator:
  - name: settings
    behavior: merge
    literals: [EMPTY=no more, MORE=größer]
images:
  - {{name: job-server-worker, newName: registry.example.com/worker, newTag: "1.0"}}
"""
SETTINGS = "settings-c66fd26ct2"  # the name that kustomize 5.5 gives


def write(folder: Path, **files: str) -> Path:
    """A folder with these files; `_` in a name stands for its dot."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def group(folder: Path, kustomization: str, resource: str = POD, patch: str = PATCH) -> Path:
    return write(folder, kustomization_yaml=HEAD + kustomization, pod_yaml=resource, patch_yaml=patch)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """An overlay of a base, which have one of each field but those of a group."""
    write(
        tmp_path / "base", kustomization_yaml=BASE, pod_yaml=POD, patch_yaml=PATCH, script_sh="a && b > c\n"
    )
    return write(tmp_path / "top", kustomization_yaml=TOP)


@pytest.fixture
def suffixed(tmp_path: Path) -> Path:
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: worker}\n---\n"
    pod = POD.split("---\n")[1].replace("    spec:\n", "    spec:\n      serviceAccountName: worker\n")
    labels = "labels:\n  - {pairs: {group: a}, includeSelectors: true}\n"
    return group(tmp_path / "group", f"resources: [pod.yaml]\nnameSuffix: -a\n{labels}", account + pod)


def by_name(built: list[Manifest]) -> list[Manifest]:
    return sorted(built, key=lambda manifest: (manifest["kind"], manifest["metadata"]["name"]))


def of(built: list[Manifest], kind: str) -> Any:
    [found] = [manifest for manifest in built if manifest["kind"] == kind]
    return found


# -- the same as kustomize


needs_kustomize = pytest.mark.skipif(
    manifests.find_kustomize() is None, reason="kustomize 5 is missing; dev/kustomize.py takes its place"
)


@needs_kustomize
@pytest.mark.parametrize("folder", [*manifests.BUILT, "queue-groups/default", "worker"])
def test_the_manifests_are_those_of_kustomize(folder: str):
    path = manifests.FOLDER / folder
    assert by_name(kustomize.build(path)) == by_name(manifests.build(path))


@needs_kustomize
def test_each_field_does_what_it_does_in_kustomize(top: Path, suffixed: Path):
    for folder in (top, suffixed):
        assert by_name(kustomize.build(folder)) == by_name(manifests.build(folder))


# -- its own


def test_a_config_map_is_named_by_its_content_wherever_it_is_read(top: Path):
    built = kustomize.build(top)
    settings = of(built, "ConfigMap")
    data = {"URL": "a://b?c=d&e=<f>", "EMPTY": "no more", "MORE": "größer", "script.sh": "a && b > c\n"}
    assert (settings["metadata"]["name"], settings["data"]) == (SETTINGS, data)
    pod = of(built, "Deployment")["spec"]["template"]["spec"]
    assert pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": SETTINGS}}]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["settings"]["configMap"] == {"name": SETTINGS}
    assert volumes["secret"]["secret"]["secretName"] == "settings"


def test_a_patch_changes_and_adds_entries_by_their_names(top: Path):
    pod = of(kustomize.build(top), "Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert {entry["name"]: entry["value"] for entry in container["env"]} == {"A": "1", "B": "two", "C": "3"}
    assert {volume["name"] for volume in pod["volumes"]} == {"settings", "secret", "tmp"}


def test_namespace_and_images_are_set(top: Path):
    built = kustomize.build(top)
    deployment = of(built, "Deployment")
    assert of(built, "Namespace")["metadata"] == {"name": "after"}
    assert deployment["metadata"]["namespace"] == "after"
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/worker:1.0"


def test_a_group_has_names_and_labels_of_its_own(suffixed: Path):
    built = kustomize.build(suffixed)
    deployment = of(built, "Deployment")
    assert of(built, "ServiceAccount")["metadata"] == {"name": "worker-a", "labels": {"group": "a"}}
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == "worker-a"
    labels = {"app": "worker", "group": "a"}
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert deployment["spec"]["template"]["metadata"]["labels"] == labels


@pytest.mark.parametrize(
    ("kustomization", "patch", "reason"),
    [
        ("resources: [pod.yaml]\nreplicas: []\n", "", "replicas"),
        ("resources: [missing.yaml]\n", "", "missing.yaml"),
        ("resources: [pod.yaml, pod.yaml]\n", "", "Namespace/before: 2 manifests"),
        ("resources: [pod.yaml]\nnameSuffix: -a\n", "", "does not know it for Namespace"),
        ("resources: [pod.yaml]\nlabels: [{pairs: {a: b}, includeSelectors: true}]\n", "", "for Namespace"),
        ("resources: [pod.yaml]\npatches: [{path: patch.yaml}]\n", "{replicas: null}", "to delete"),
        ("resources: [pod.yaml]\npatches: [{path: patch.yaml}]\n", "{$patch: delete}", "to delete"),
        (
            "resources: [pod.yaml]\npatches: [{path: patch.yaml}]\n",
            "{template: {spec: {containers: [{name: worker, envFrom: []}]}}}",
            "envFrom",
        ),
        ("resources: [pod.yaml]\nconfigMapGenerator: [{name: a, literals: ['A=\"b\"']}]\n", "", "literals"),
    ],
)
def test_what_it_does_not_know_is_refused(kustomization: str, patch: str, reason: str, tmp_path: Path):
    change = {"kind": "Deployment", "metadata": {"name": "worker"}, "spec": yaml.safe_load(patch or "{}")}
    folder = group(tmp_path / "folder", kustomization, patch=yaml.safe_dump(change))
    with pytest.raises(UnbuildableManifests, match=reason):
        kustomize.build(folder)
