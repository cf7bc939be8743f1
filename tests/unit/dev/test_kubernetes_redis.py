"""deploy/kubernetes: Redis of the overlays agrees with compose, with its scripts and with the settings."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import manifests
from dev.stack import ROOT
from shared.store.redis_url import read_redis_url
from tests.unit.dev.manifest_parts import (
    WITH_PODS,
    Manifest,
    component,
    container,
    literals,
    of_kind,
    processes,
    settings_of,
)
from worker.settings import WorkerSettings

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SECRETS = manifests.FOLDER / "redis-secrets.sh"
OVERLAYS = ("single", "sentinel", "cluster")
URLS = {
    "single": "redis://job-server:PASSWORD@redis:6379/0",
    "sentinel": "redis+sentinel://job-server:PASSWORD@sentinel-0.sentinel,sentinel-1.sentinel,sentinel-2.sentinel"
    "/jobs/0?sentinel_username=job-server&sentinel_password=PASSWORD",
    "cluster": "redis+cluster://job-server:PASSWORD@redis-0.redis,redis-1.redis,redis-2.redis",
}


@pytest.fixture(scope="module")
def overlays() -> dict[str, list[Manifest]]:
    return {name: manifests.build(manifests.FOLDER / "overlays" / name) for name in OVERLAYS}


def of_redis(built: list[Manifest]) -> list[Manifest]:
    return [
        workload for workload in of_kind(built, *WITH_PODS) if component(workload) not in ("api", "worker")
    ]


def script(overlay: str, name: str) -> str:
    return (manifests.FOLDER / "overlays" / overlay / name).read_text()


# -- manifests


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_redis_is_that_of_compose(overlay: str, overlays: dict[str, list[Manifest]]):
    [redis] = processes(overlays[overlay], "redis")
    wanted = [re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", word) for word in COMPOSE["redis"]["command"]]
    options = container(redis)["args"]
    assert options[options.index("--appendonly") :] == wanted
    limit = int(container(redis)["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024
    assert limit >= 2 * int(wanted[wanted.index("--maxmemory") + 1].removesuffix("mb"))
    images = {container(workload)["image"] for workload in of_redis(overlays[overlay])}
    assert images == {COMPOSE["redis"]["image"]}


@pytest.mark.parametrize("overlay", ["sentinel", "cluster"])
def test_servers_know_each_other_by_the_names_of_their_pods(
    overlay: str, overlays: dict[str, list[Manifest]]
):
    names: dict[str, list[str]] = {}
    for workload in of_kind(overlays[overlay], "StatefulSet"):
        name, service = workload["metadata"]["name"], workload["spec"]["serviceName"]
        [port] = [port["containerPort"] for port in container(workload)["ports"] if port["name"] == name]
        names[name] = [f"{name}-{number}.{service}:{port}" for number in range(workload["spec"]["replicas"])]
        assert literals(workload)["SELF"] == f"$(POD).{service}:{port}"
    for workload in of_redis(overlays[overlay]):
        own = literals(workload)
        assert own.get("FIRST", names["redis"][0]) == names["redis"][0]
        assert own.get("NODES", " ".join(names["redis"])).split() == names["redis"]
        if "SENTINELS" in own:
            assert own["SENTINELS"].split() == names["sentinel"]


def test_the_settings_are_those_of_replicas_and_of_shards(overlays: dict[str, list[Manifest]]):
    """In the cluster each primary has one replica: after a fail-over none would confirm a job."""
    settings = {name: settings_of(built)["data"] for name, built in overlays.items()}
    assert (settings["sentinel"]["REDIS_ACK_REPLICAS"], settings["cluster"]["REDIS_SHARDS"]) == ("1", "8")
    assert "REDIS_ACK_REPLICAS" not in {**settings["single"], **settings["cluster"]}


def test_a_lease_outlives_a_fail_over(overlays: dict[str, list[Manifest]]):
    [redis] = processes(overlays["cluster"], "redis")
    options = container(redis)["args"]
    [silence] = re.findall(r"DOWN_AFTER_MILLISECONDS:-(\d+)", script("sentinel", "sentinel.sh"))
    for milliseconds in (silence, options[options.index("--cluster-node-timeout") + 1]):
        lease = WorkerSettings.model_fields["worker_lease_seconds"].default
        assert lease >= 3 * int(milliseconds) / 1000


@pytest.mark.parametrize(("overlay", "name"), [("sentinel", "redis.sh"), ("cluster", "node.sh")])
def test_a_server_has_time_to_hand_over_and_to_stop(
    overlay: str, name: str, overlays: dict[str, list[Manifest]]
):
    [redis] = processes(overlays[overlay], "redis")
    command = container(redis)["lifecycle"]["preStop"]["exec"]["command"]
    assert command == ["sh", f"/scripts/{name}", "leave"]
    [tries] = re.findall(r"tries=(\d+)\n", script(overlay, name))
    longest = int(tries) * 3  # a second of sleep and two for the answer
    assert redis["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= longest + 20


# -- secrets


def make_secrets(overlay: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(SECRETS), overlay, str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_made_for_an_overlay(overlay: str, tmp_path: Path):
    assert make_secrets(overlay, tmp_path / "secrets").returncode == 0
    found = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    password = found["password"]
    assert re.fullmatch(r"[0-9a-f]{48}", password)
    assert found["url"] == URLS[overlay].replace("PASSWORD", password)
    assert read_redis_url(found["url"])
    rights = (
        (ROOT / "redis-users.acl")
        .read_text()
        .replace("user job-server on", f"user job-server on >{password}")
    )
    assert found["users.acl"].startswith(rights)
    assert ("servers" in found) == (overlay != "single")
    assert ("sentinels.acl" in found) == (overlay == "sentinel")
    for name in found.keys() & {"users.acl", "sentinels.acl"} if "servers" in found else ():
        assert f"user servers on >{found['servers']} " in found[name]
    assert {file.stat().st_mode & 0o077 for file in (tmp_path / "secrets").iterdir()} == {0}


def test_secrets_that_there_are_stay(tmp_path: Path):
    make_secrets("cluster", tmp_path)
    before = {file.name: file.read_text() for file in tmp_path.iterdir()}
    again = make_secrets("cluster", tmp_path)
    assert again.returncode == 2
    assert "there is one already" in again.stderr
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_new_rights_are_written_with_the_passwords_in_use(overlay: str, tmp_path: Path):
    make_secrets(overlay, tmp_path)
    before = {file.name: file.read_text() for file in tmp_path.iterdir()}
    for name in before.keys() & {"users.acl", "sentinels.acl"}:
        (tmp_path / name).write_text("of an older release\n")
    assert make_secrets(overlay, tmp_path, "rights").returncode == 0
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("overlay", "missing"), [("single", "password"), ("cluster", "servers")])
def test_new_rights_need_the_passwords_in_use(overlay: str, missing: str, tmp_path: Path):
    make_secrets(overlay, tmp_path)
    before = (tmp_path / "users.acl").read_text()
    (tmp_path / missing).write_text("")
    refused = make_secrets(overlay, tmp_path, "rights")
    assert (refused.returncode, (tmp_path / "users.acl").read_text()) == (2, before)
    assert f"{missing}: missing or empty" in refused.stderr
    assert make_secrets(overlay, tmp_path, "right").returncode == 2


def test_an_overlay_that_there_is_not_is_refused(tmp_path: Path):
    refused = make_secrets("double", tmp_path / "secrets")
    assert (refused.returncode, (tmp_path / "secrets").exists()) == (2, False)
    assert "name single, sentinel or cluster" in refused.stderr
