"""Prometheus with this project's own configuration, beside a real API and a real worker."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from dev.service import Service, serving
from dev.stack import ROOT, free_port, join, terminate, wait_until

BINARY = shutil.which("prometheus")
CONFIGURATION = ROOT / "deploy/prometheus"
DASHBOARD = ROOT / "deploy/grafana/dashboards/job-server.json"
INTERVALS = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}

pytestmark = pytest.mark.skipif(BINARY is None, reason="Prometheus is missing; .ci/run installs it")


class Prometheus:
    """A Prometheus that watches a service with one worker.

    Attributes:
        service: the service.
    """

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        worker_port, port = free_port(), free_port()
        service.start_worker(WORKER_METRICS_PORT=str(worker_port), WORKER_LEASE_SECONDS="1").wait_ready()
        configure(folder, {"job-server-api": service.stack.api_port, "job-server-worker": worker_port})
        command = [
            str(BINARY),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
        ]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        self.process = service.stack.spawn("prometheus", command)
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self._url}/{path}", params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def targets_up(self) -> dict[str, str]:
        with suppress(httpx.TransportError, json.JSONDecodeError):
            found = self.ask("query", query="up")["result"]
            return {sample["metric"]["job"]: sample["value"][1] for sample in found}
        return {}

    def firing(self) -> set[str]:
        alerts = self.ask("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def configure(folder: Path, ports: dict[str, int]) -> None:
    """Write the configuration with other targets, shorter intervals, and alerts that fire at once."""
    settings = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text())
    settings["global"] |= INTERVALS
    for scrapes in settings["scrape_configs"]:
        del scrapes["dns_sd_configs"]
        scrapes["static_configs"] = [{"targets": [f"127.0.0.1:{ports[scrapes['job_name']]}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    rules = yaml.safe_load((CONFIGURATION / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with serving() as service:
        prometheus = Prometheus(service, tmp_path_factory.mktemp("prometheus"))
        try:
            up = {"job-server-api": "1", "job-server-worker": "1"}
            wait_until(lambda: prometheus.targets_up() == up, "API and worker are scraped")
            yield prometheus
        finally:
            terminate(prometheus.process)
            join(prometheus.process)


def expressions() -> list[str]:
    """The expressions of all alerts and panels."""
    rules = yaml.safe_load((CONFIGURATION / "alerts.yml").read_text())
    panels = json.loads(DASHBOARD.read_text())["panels"]
    targets = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return alerts + [expression.replace("$__rate_interval", "1m") for expression in targets]


def test_it_has_every_series_that_alerts_and_panels_name_and_understands_them(prometheus: Prometheus):
    prometheus.service.run("echo", message=1)
    named = {name for expression in expressions() for name in re.findall(r"\bjob_server_\w+", expression)}
    wait_until(lambda: named <= set(prometheus.ask("label/__name__/values")), "it has scraped all series")
    for expression in expressions():
        prometheus.ask("query", query=expression)


def test_the_figures_are_those_of_the_service(prometheus: Prometheus):
    prometheus.service.submit_for_later("echo", message=1)
    query = 'job_server_queue_jobs{queue="default", state="scheduled"}'

    def scheduled() -> list[str]:
        return [sample["value"][1] for sample in prometheus.ask("query", query=query)["result"]]

    wait_until(lambda: scheduled() == ["1"], "it shows the scheduled job")


def test_alerts_fire_and_end(prometheus: Prometheus):
    service = prometheus.service
    service.call("POST", "/queues/default/pause")
    wait_until(lambda: "JobServerQueuePaused" in prometheus.firing(), "the pause is an alert")
    service.call("POST", "/queues/default/resume")
    wait_until(lambda: not prometheus.firing(), "no alert is left")
    service.workers[0].kill()
    service.submit("echo", message=1)
    expected = {"JobServerDown", "JobServerNoWorker"}
    wait_until(
        lambda: expected <= prometheus.firing(), "a queue without a worker is an alert, and a dead process"
    )
