"""docs/kubernetes.md: its commands name workloads, pods, secrets, scripts and files that there are."""

import re
import shlex

import pytest

from dev import manifests
from dev.stack import ROOT
from tests.unit.dev.manifest_parts import WITH_PODS, Manifest, container, of_kind

PAGE = (ROOT / "docs/kubernetes.md").read_text()
COMMANDS = [
    *re.findall(r"^ *((?:kubectl|docker|sh) .*)$", PAGE, re.MULTILINE),
    *re.findall(r"`(kubectl [^`]*)`", PAGE),
]
KINDS = {
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "service": "Service",
    "job": "Job",
    "scaledobject": "ScaledObject",
}


@pytest.fixture(scope="module")
def built() -> list[Manifest]:
    """The manifests of all overlays, also those that are the same."""
    return [manifest for name in manifests.BUILT for manifest in manifests.build(manifests.FOLDER / name)]


def names(built: list[Manifest], kind: str) -> set[str]:
    return {manifest["metadata"]["name"] for manifest in of_kind(built, kind)}


def test_resources_of_commands_are_there(built: list[Manifest]):
    found = re.findall(rf"\b({'|'.join(KINDS)})[/ ]([a-z][a-z0-9-]*)", "\n".join(COMMANDS))
    assert {kind for kind, _ in found} == KINDS.keys()
    for kind, name in found:
        assert name in names(built, KINDS[kind]), f"{kind}/{name}"


def test_pods_and_scripts_of_commands_are_there(built: list[Manifest]):
    text = "\n".join(COMMANDS)
    pods = {
        f"{workload['metadata']['name']}-{number}"
        for workload in of_kind(built, "StatefulSet")
        for number in range(workload["spec"]["replicas"])
    }
    scripts = {name for found in of_kind(built, "ConfigMap") for name in found["data"]}
    asked = set(re.findall(r"(?:exec(?: -i)?|describe pod) ([a-z]+-\d)", text))
    assert asked == {"redis-0", "sentinel-0"}
    assert asked <= pods
    assert {*re.findall(r"/scripts/(\S+)", text)} <= scripts


def test_the_secrets_that_pods_read_are_made(built: list[Manifest]):
    made = set(re.findall(r"create secret generic (\w+)", "\n".join(COMMANDS)))
    read = {
        entry["secretRef"]["name"]
        for workload in of_kind(built, *WITH_PODS)
        for entry in container(workload).get("envFrom", [])
        if "secretRef" in entry
    }
    read |= {
        volume["secret"]["secretName"]
        for workload in of_kind(built, *WITH_PODS)
        for volume in workload["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    }
    read |= {
        target["name"]
        for found in of_kind(built, "TriggerAuthentication")
        for target in found["spec"]["secretTargetRef"]
    }
    assert made == read | {"webhooks"}


def test_commands_run_scripts_and_dockerfiles_of_this_tree():
    named = [
        word
        for command in COMMANDS
        for word in shlex.split(command, comments=True)
        if re.match(r"deploy/|Dockerfile\.", word)
    ]
    assert {"deploy/kubernetes/redis-secrets.sh", "deploy/backup/copy-redis.sh", "Dockerfile.api"} <= {*named}
    assert [word for word in named if not (ROOT / word).is_file()] == []


def test_every_command_names_the_namespace_or_the_whole_cluster():
    whole = (
        "version",
        "get crd",
        "top nodes",
        "create namespace",
        "apply -k",
        "diff -k",
        "delete -k",
        "replace",
    )
    for command in COMMANDS:
        for part in re.findall(r"kubectl ([^|]*)", command):
            assert part.startswith(("-n job-server ", *whole)), command
