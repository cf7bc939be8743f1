"""The files for Prometheus and Grafana name series, services and places that there are."""

import itertools
import json
import re
import socket
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from api.main import ROUTERS
from api.metrics.api_metrics import ApiMetrics
from dev.stack import ROOT
from shared.job_type_loader import load_job_types
from worker.metrics.worker_metrics import WorkerMetrics
from worker.processes.child_counts import ChildCounts, Children

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROMETHEUS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
[GROUP] = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
RULES: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in GROUP["rules"]}
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/job-server.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
TARGETS = [target for panel in PANELS for target in panel.get("targets", ())]
EXPRESSIONS = [rule["expr"] for rule in RULES.values()] + [target["expr"] for target in TARGETS]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


@pytest.fixture(scope="module")
def names() -> set[str]:
    """The names of the series of API and worker."""
    types = load_job_types()
    api, part = ApiMetrics(types, ROUTERS), SimpleNamespace(counts=ChildCounts())
    with socket.socket() as listener:
        worker = WorkerMetrics(types, listener)
        jobs: Any = SimpleNamespace(size=1, occupied=0)
        lanes: Any = [SimpleNamespace(jobs=jobs)]
        worker.services_of(lanes, Children(part, part, part), lambda: True)
    api.open()
    text = (api.set.text() + worker.set.text()).decode()
    declared = re.findall(r"^# TYPE (job_server_\w+) (\w+)$", text, re.MULTILINE)
    return {name + suffix for name, kind in declared for suffix in SUFFIXES[kind]}


def test_alerts_and_panels_name_series_that_there_are(names: set[str]):
    named = {name for expression in EXPRESSIONS for name in re.findall(r"\bjob_server_\w+", expression)}
    assert len(named) > 15
    assert named <= names


def test_the_page_names_every_series(names: set[str]):
    page = set(re.findall(r"`(job_server_\w+)`", (ROOT / "docs/metrics.md").read_text()))
    assert page == {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def test_prometheus_finds_the_services_of_compose():
    targets = {
        (service, found["port"])
        for scrape in PROMETHEUS["scrape_configs"]
        for found in scrape["dns_sd_configs"]
        for service in found["names"]
    }
    [port] = re.findall(r":-(\d+)", COMPOSE["worker"]["environment"]["WORKER_METRICS_PORT"])
    assert targets == {("api", 8000), ("worker", int(port)), ("models", int(port))}
    assert all("front" in COMPOSE[name]["networks"] for name in ("prometheus", "grafana", "api", "worker"))
    assert not {"back"} & {*COMPOSE["prometheus"]["networks"], *COMPOSE["grafana"]["networks"]}


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_the_services_for_operators_are_pinned_wait_for_their_profile_and_mount_what_there_is(name: str):
    service = COMPOSE[name]
    assert service["profiles"] == ["observability"]
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert all(port.startswith("${") and ":-127.0.0.1:" in port for port in service["ports"])
    sources = [volume["source"] for volume in service["volumes"] if isinstance(volume, dict)]
    assert sources
    assert all((ROOT / source).is_dir() for source in sources)


def test_grafana_finds_its_datasource_and_its_dashboard():
    provisioning = DEPLOY / "grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert {target["datasource"]["uid"] for target in TARGETS} == {source["uid"]}
    [provider] = yaml.safe_load((provisioning / "dashboards/job-server.yml").read_text())["providers"]
    mounted = {volume["target"] for volume in COMPOSE["grafana"]["volumes"] if isinstance(volume, dict)}
    assert provider["options"]["path"] in mounted


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    for one, other in itertools.combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_what_it_means_and_what_to_do(alert: str):
    annotations = RULES[alert]["annotations"]
    assert annotations.keys() == {"summary", "runbook"}
    assert RULES[alert]["labels"]["severity"] in ("warning", "critical")
    for section in re.findall(r'See "([^"]+)" in docs/operations.md', annotations["runbook"]):
        assert f"### {section}\n" in OPERATIONS


@pytest.mark.parametrize("alert", RULES)
def test_every_alert_has_a_test(alert: str):
    assert alert in (DEPLOY / "prometheus/alerts_test.yml").read_text()
