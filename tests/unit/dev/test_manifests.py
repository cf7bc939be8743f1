"""The check of the manifests of Kubernetes: what it finds, with kustomize and without it."""

import os
from pathlib import Path

import pytest

from dev import manifests

NONE = "/nonexistent"  # a PATH without programs


@pytest.fixture
def tools() -> None:
    if not manifests.VALIDATE.exists():
        pytest.skip("the tools of checks are missing; `make check` installs them")


@pytest.mark.usefixtures("tools")
def test_a_fault_is_found_in_core_manifests_and_in_those_of_keda(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(manifests, "VERSIONS", manifests.VERSIONS[-1:])  # a second for each
    metadata = {"name": "wrong", "namespace": "job-server"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"port": 1}}
    assert any("'port' was unexpected" in fault for fault in manifests.faults_of_core([service]))
    scaled = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata,
        "spec": {"x": 1},
    }
    assert "ScaledObject/wrong: spec.x: Extra inputs are not permitted" in manifests.faults_of_keda([scaled])
    unknown = {**scaled, "kind": "ScaledJob"}
    assert any("does not know this kind" in fault for fault in manifests.faults_of_keda([unknown]))


@pytest.mark.parametrize("path", [os.environ["PATH"], NONE])
def test_a_folder_that_can_not_be_built_fails_the_check(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PATH", path)
    head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    (tmp_path / "kustomization.yaml").write_text(f"{head}resources: [missing.yaml]\n")
    monkeypatch.setattr(manifests, "FOLDER", tmp_path)
    monkeypatch.setattr(manifests, "BUILT", (".",))
    assert manifests.main() == 1
    assert "missing.yaml" in capsys.readouterr().out


def test_without_kustomize_every_folder_is_built_and_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PATH", NONE)
    checked: list[manifests.Manifest] = []
    monkeypatch.setattr(manifests, "faults_of_core", lambda found: checked.extend(found) or ())
    assert manifests.main() == 0
    assert "built by dev/kustomize.py" in capsys.readouterr().out
    assert {"Deployment", "StatefulSet", "Job", "NetworkPolicy"} <= {found["kind"] for found in checked}


@pytest.mark.parametrize(
    ("name", "told", "command"),
    [
        ("kustomize", "v5.6.0", ["build"]),
        ("kustomize", "{Version:kustomize/v4.5.7 GitCommit:56d82a8 GoOs:linux}", None),
        ("kubectl", "Client Version: v1.32.3\nKustomize Version: v5.5.0", ["kustomize"]),
        ("kubectl", 'Client Version: version.Info{Major:"1", Minor:"20", GitVersion:"v1.20.2"}', None),
    ],
)
def test_a_kustomize_that_is_too_old_is_as_none(
    name: str, told: str, command: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program = tmp_path / name
    program.write_text(f"#!/bin/sh\necho '{told}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert manifests.find_kustomize() == (command and (str(program), *command))


def test_every_folder_of_manifests_is_built():
    folders = {
        str(path.parent.relative_to(manifests.FOLDER))
        for path in manifests.FOLDER.rglob("kustomization.yaml")
    }
    parts = {"worker", "queue-groups/default"}  # parts of the base
    assert folders - parts == set(manifests.BUILT)
