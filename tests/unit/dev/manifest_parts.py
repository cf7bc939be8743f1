"""Parts of the manifests that kustomize makes."""

from typing import Any

Manifest = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet")
WITH_PODS = (*WORKLOADS, "Job")


def of_kind(built: list[Manifest], *kinds: str) -> list[Manifest]:
    found = [manifest for manifest in built if manifest["kind"] in kinds]
    assert found
    return found


def component(workload: Manifest) -> str:
    name: str = workload["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
    return name


def container(workload: Manifest) -> Manifest:
    [found] = workload["spec"]["template"]["spec"]["containers"]
    return dict(found)


def processes(built: list[Manifest], *components: str) -> list[Manifest]:
    """The workloads of API and workers, or of those components."""
    found = [w for w in of_kind(built, *WORKLOADS) if component(w) in (components or ("api", "worker"))]
    assert found
    return found


def settings_of(built: list[Manifest]) -> Manifest:
    [found] = [c for c in of_kind(built, "ConfigMap") if c["metadata"]["name"].startswith("settings-")]
    return found


def literals(workload: Manifest) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(workload)["env"] if "value" in entry}
