"""deploy/kubernetes: the manifests that kustomize makes are restricted, and agree with code and images."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import BaseModel

from api.main import ROUTERS
from api.routes import health, queues, server
from api.settings import ApiSettings
from dev import keda, manifests
from dev.stack import ROOT
from tests.unit.dev.manifest_parts import (
    WITH_PODS,
    WORKLOADS,
    Manifest,
    component,
    container,
    literals,
    of_kind,
    processes,
    settings_of,
)
from worker.metrics.server import PATH
from worker.settings import WorkerSettings

PAGE = (ROOT / "docs/kubernetes.md").read_text()
SETTINGS = {"api": ApiSettings, "worker": WorkerSettings}
NOT_SETTINGS = {"AWS_REGION", "TMPDIR"}
OVERLAYS = [name for name in manifests.BUILT if name.startswith("overlays/")]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlay of the page, in a folder of its own; its resources are those of this tree."""
    [text] = re.findall(r"```yaml\n( *# kustomization\.yaml\n.*?)```", PAGE, re.DOTALL)
    folder = tmp_path_factory.mktemp("overlay")
    text = text.replace("../job-server", os.path.relpath(ROOT, folder.resolve()))
    (folder / "kustomization.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module", params=[*OVERLAYS, "example"])
def built(request: pytest.FixtureRequest, example: Path) -> list[Manifest]:
    """The manifests of an overlay."""
    return manifests.build(example if request.param == "example" else manifests.FOLDER / request.param)


# -- agreement with the code


def test_the_settings_are_those_there_are_and_are_accepted(
    built: list[Manifest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    settings = settings_of(built)
    fields = {name: {field.upper() for field in kind.model_fields} for name, kind in SETTINGS.items()}
    assert {*settings["data"]} - NOT_SETTINGS <= fields["api"] | fields["worker"]
    for workload in processes(built):
        kind = component(workload)
        own = literals(workload)
        secrets = {name.removesuffix("_FILE") for name in own if name.endswith("_FILE")}
        assert {*own} - NOT_SETTINGS <= fields[kind] | {f"{name}_FILE" for name in secrets}
        assert secrets <= {"REDIS_URL", "API_KEYS", "WEBHOOK_SECRETS"}
        with monkeypatch.context() as patch:
            values = {**settings["data"], **own}
            for name in values.keys() - {f"{secret}_FILE" for secret in secrets}:
                patch.setenv(name, values[name])
            SETTINGS[kind]()


def test_every_pod_reads_the_settings_under_their_generated_name(built: list[Manifest]):
    settings = settings_of(built)
    for workload in processes(built):
        assert {"configMapRef": {"name": settings["metadata"]["name"]}} in container(workload)["envFrom"]


def test_ports_are_those_of_the_image_and_of_the_settings(built: list[Manifest]):
    [api] = processes(built, "api")
    [exposed] = re.findall(r"^EXPOSE (\d+)$", (ROOT / "Dockerfile.api").read_text(), re.MULTILINE)
    assert container(api)["ports"] == [{"name": "http", "containerPort": int(exposed)}]
    for worker in processes(built, "worker"):
        port = int(literals(worker)["WORKER_METRICS_PORT"])
        assert container(worker)["ports"] == [{"name": "metrics", "containerPort": port}]


def test_probes_ask_paths_and_commands_that_there_are(built: list[Manifest]):
    [api] = processes(built, "api")
    routes = {route.path for route in health.router.routes}  # type: ignore[attr-defined]
    paths = {
        probe: container(api)[f"{probe}Probe"]["httpGet"]["path"]
        for probe in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    assert set(paths.values()) <= routes
    [check] = re.findall(r'CMD \["python", (.*--check.*)\]', (ROOT / "Dockerfile.worker").read_text())
    command = ["python", *re.findall(r'"([^"]+)"', check)]
    for worker in processes(built, "worker"):
        probes = container(worker)
        assert probes["startupProbe"]["exec"]["command"] == command
        assert probes["readinessProbe"]["exec"]["command"] == command
        assert probes["livenessProbe"]["httpGet"] == {"path": PATH.decode(), "port": "metrics"}
        bound = probes["livenessProbe"]["periodSeconds"] * probes["livenessProbe"]["failureThreshold"]
        assert bound >= 300, "a handler may block the event loop, and keeps its lease meanwhile"


def test_processes_have_time_to_end_by_themselves(built: list[Manifest]):
    for worker in processes(built, "worker"):
        grace = float(literals(worker)["WORKER_GRACE_SECONDS"])
        assert grace == WorkerSettings.model_fields["worker_grace_seconds"].default
        assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= grace + 30
    [api] = processes(built, "api")
    [requests] = re.findall(r"UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN=(\d+)", (ROOT / "Dockerfile.api").read_text())
    pause = int(container(api)["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert api["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= pause + int(requests) + 10


def test_files_of_secrets_are_where_the_settings_say(built: list[Manifest]):
    for workload in processes(built):
        mounts = {mount["mountPath"]: mount["name"] for mount in container(workload)["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in workload["spec"]["template"]["spec"]["volumes"]}
        for name, value in literals(workload).items():
            if name.endswith("_FILE"):
                secret = volumes[mounts[str(Path(value).parent)]]["secret"]
                assert f"`{secret['secretName']}`" in PAGE
                assert f"`{Path(value).name}`" in PAGE


@pytest.mark.skipif(manifests.find_kustomize() is None, reason="kustomize 5 is missing: JSON patches need it")
def test_the_patch_of_the_page_gives_the_secrets_of_webhooks_to_api_and_workers(
    example: Path, tmp_path: Path
):
    [patch] = re.findall(r"```yaml\n(patches:\n.*?)```", PAGE, re.DOTALL)
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: [{os.path.relpath(example.resolve(), tmp_path.resolve())}]\n{patch}"
    )
    built = manifests.build(tmp_path)
    assert {component(workload) for workload in of_kind(built, "Deployment")} == {"api", "worker"}
    for workload in of_kind(built, "Deployment"):
        place = Path(literals(workload)["WEBHOOK_SECRETS_FILE"])
        mounts = {mount["mountPath"]: mount["name"] for mount in container(workload)["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in workload["spec"]["template"]["spec"]["volumes"]}
        assert f"create secret generic webhooks --from-file=secrets/{place.name}" in PAGE
        assert volumes[mounts[str(place.parent)]]["secret"] == {
            "secretName": "webhooks",
            "defaultMode": 0o440,
        }


# -- scaling


def test_keda_scales_each_group_of_workers_by_the_demand_of_its_queues(built: list[Manifest]):
    workers = {worker["metadata"]["name"]: worker for worker in processes(built, "worker")}
    scaled = of_kind(built, "ScaledObject")
    assert {item["spec"]["scaleTargetRef"]["name"] for item in scaled} == workers.keys()
    for item in scaled:
        settings = literals(workers[item["spec"]["scaleTargetRef"]["name"]])
        triggers = [trigger["metadata"] for trigger in item["spec"]["triggers"]]
        demands = {t["url"]: t for t in triggers if t["valueLocation"] == "demand"}
        assert {urlsplit(url).path.removeprefix("/v1/queues/") for url in demands} == {
            *settings["WORKER_QUEUES"].split(",")
        }
        assert {t["targetValue"] for t in demands.values()} == {settings["WORKER_CONCURRENCY"]}
        assert {t["activationTargetValue"] for t in triggers} == {"0"}
        assert item["spec"]["minReplicaCount"] == 0
        assert item["spec"]["fallback"]["replicas"] > 0


def test_keda_asks_routes_and_fields_that_there_are(built: list[Manifest]):
    answers: dict[str, type[BaseModel]] = {
        "/v1/queues/": queues.QueueStatus,
        "/v1/server/info": server.ServerInfo,
    }
    assert {"/queues/{name}", "/server/info"} <= {
        route.path
        for router in ROUTERS
        for route in router.routes  # type: ignore[attr-defined]
    }
    [service] = [found for found in of_kind(built, "Service") if found["metadata"]["name"] == "api"]
    [port] = service["spec"]["ports"]
    for item in of_kind(built, "ScaledObject"):
        for trigger in item["spec"]["triggers"]:
            url = urlsplit(trigger["metadata"]["url"])
            namespace = service["metadata"]["namespace"]
            assert (url.hostname, url.port) == (f"api.{namespace}.svc.cluster.local", port["port"])
            [answer] = [found for path, found in answers.items() if url.path.startswith(path)]
            first, *rest = trigger["metadata"]["valueLocation"].split(".")
            assert first in answer.model_fields
            assert all(name in server.QueueInfo.model_fields for name in rest)


def test_the_key_of_keda_comes_from_a_secret(built: list[Manifest]):
    [authentication] = of_kind(built, "TriggerAuthentication")
    names = {
        t["authenticationRef"]["name"] for s in of_kind(built, "ScaledObject") for t in s["spec"]["triggers"]
    }
    assert names == {authentication["metadata"]["name"]}
    assert all(keda.is_keda(item) for item in (authentication, *of_kind(built, "ScaledObject")))


def test_autoscalers_own_the_numbers_of_replicas(built: list[Manifest]):
    scaled = {
        s["spec"]["scaleTargetRef"]["name"] for s in of_kind(built, "ScaledObject", "HorizontalPodAutoscaler")
    }
    deployments = of_kind(built, "Deployment")
    assert scaled == {deployment["metadata"]["name"] for deployment in deployments}
    assert not any("replicas" in deployment["spec"] for deployment in deployments)


def test_the_fields_of_keda_are_those_it_knows(built: list[Manifest]):
    """`make check` holds the others to the schemas of Kubernetes."""
    assert list(manifests.faults_of_keda([item for item in built if keda.is_keda(item)])) == []


# -- security


def test_pods_are_as_the_standard_restricted_wants_them(built: list[Manifest]):
    [namespace] = of_kind(built, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in of_kind(built, *WITH_PODS):
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        kinds = {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}}
        assert kinds <= {"emptyDir", "secret", "configMap"}
        for part in pod["containers"] + pod.get("initContainers", []):
            assert part["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in part["resources"]["limits"]


def test_api_and_workers_run_as_the_user_of_their_images(built: list[Manifest]):
    for workload in processes(built):
        dockerfile = (ROOT / f"Dockerfile.{component(workload)}").read_text()
        context = workload["spec"]["template"]["spec"]["securityContext"]
        assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile
        assert context["fsGroup"] == context["runAsGroup"], "the files of secrets are read by their group"


def test_no_manifest_holds_a_secret(built: list[Manifest]):
    assert not [manifest for manifest in built if manifest["kind"] == "Secret"]
    text = yaml.safe_dump_all(built)
    assert not re.search(r"redis\S*://|jobs_[A-Za-z0-9_-]{20}|whsec_|PASSWORD", text)
    for workload in of_kind(built, *WITH_PODS):
        for name in literals(workload):
            assert not re.search(
                r"SECRET|KEY|PASSWORD|AUTH|_URL$", name.removesuffix("_FILE")
            ) or name.endswith("_FILE")


def test_every_pod_is_closed_but_for_what_a_rule_names(built: list[Manifest]):
    rules = {rule["metadata"]["name"]: rule["spec"] for rule in of_kind(built, "NetworkPolicy")}
    assert rules["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ports = {port["name"] for workload in of_kind(built, *WORKLOADS) for port in container(workload)["ports"]}
    for workload in of_kind(built, *WITH_PODS):
        rule = rules[component(workload)]
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert rule["podSelector"]["matchLabels"].items() <= labels.items()
        for ingress in rule.get("ingress", []):
            assert ingress["from"]
            assert {port["port"] for port in ingress["ports"]} <= ports


def test_disruption_budgets_select_the_pods_of_one_workload_each(built: list[Manifest]):
    selectors = [budget["spec"]["selector"] for budget in of_kind(built, "PodDisruptionBudget")]
    several = [w for w in of_kind(built, *WORKLOADS) if w["spec"].get("replicas") != 1]
    assert len(selectors) == len(several)
    assert all(workload["spec"]["selector"] in selectors for workload in several)
    labels = [tuple(sorted(workload["spec"]["selector"]["matchLabels"].items())) for workload in several]
    assert len(set(labels)) == len(labels)
