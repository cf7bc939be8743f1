"""The overlay `cluster`: its script with six real nodes, and the service on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster import free_ports
from dev.service import Service
from dev.stack import wait_until
from tests.e2e.pods_of_redis import Pods, needs_redis_cli, runs_a_job, start_service

pytestmark = [needs_redis_cli, pytest.mark.pods]
SOON = 60.0
SCRIPT = "node.sh"


class Nodes:
    """Six nodes, known by the name `localhost`."""

    def __init__(self, folder: Path) -> None:
        self.pods = Pods("cluster", folder)
        self.ports = free_ports(6)
        self.places = self.at("localhost")
        self.all = " ".join(self.places)

    @property
    def url(self) -> str:
        """REDIS_URL of the secret, with these hosts."""
        url = self.pods.secret("url")
        for number, place in enumerate(self.places[:3]):
            url = url.replace(f"redis-{number}.redis", place)
        return url

    def at(self, host: str) -> list[str]:
        return [f"{host}:{port}" for port in self.ports]

    def start(self, place: str, *, address: str = "127.0.0.1", nodes: str = "") -> None:
        variables = {"NODES": nodes or self.all, "ADDRESS": address, "MEET_SECONDS": "1"}
        self.pods.start(place, SCRIPT, "start", *self.pods.options(), "--bind", address, **variables)

    def run(self, place: str, word: str) -> int:
        return self.pods.run(place, SCRIPT, word, NODES=self.all)

    def info(self, place: str) -> dict[str, str]:
        found = self.pods.ask(place, "CLUSTER", "INFO")
        if not found or isinstance(found, dict):
            return found or {}
        return dict(line.split(":", 1) for line in found.decode().split("\r\n") if ":" in line)

    def roles(self) -> list[str]:
        return [(self.pods.ask(place, "ROLE") or [b""])[0].decode() for place in self.places]

    def whole(self, host: str = "localhost") -> bool:
        """Whether each node sees all slots served, and is connected with all others."""
        lines = [(self.pods.ask(place, "CLUSTER", "NODES") or b"") for place in self.at(host)]
        texts = [str(line) if isinstance(line, dict) else line.decode() for line in lines]
        return all(self.info(place).get("cluster_state") == "ok" for place in self.at(host)) and not any(
            "fail" in text or "disconnected" in text or not text for text in texts
        )

    def await_whole(self) -> None:
        wait_until(
            lambda: self.whole() and all(self.run(place, "ready") == 0 for place in self.places),
            "all nodes are in step",
            seconds=SOON,
        )


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path_factory.mktemp("pods"))
    try:
        for place in nodes.places:
            nodes.start(place)
        assert nodes.run(nodes.places[0], "create") == 0
        nodes.await_whole()
        yield nodes
    finally:
        nodes.pods.close()


@pytest.fixture(scope="module")
def service(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("service"), REDIS_URL=nodes.url, REDIS_SHARDS="8")
    yield service
    service.close()


def runs_jobs(service: Service) -> bool:
    """Whether a job of each shard runs; a shard that has lost its primary takes none."""
    return all(runs_a_job(service) for _ in range(8))


def test_the_first_three_nodes_are_primaries_with_a_replica_each(nodes: Nodes, service: Service) -> None:
    assert nodes.roles() == ["master"] * 3 + ["slave"] * 3
    assert runs_jobs(service)


def test_nodes_are_known_by_their_names(nodes: Nodes) -> None:
    [[_, _, primary, *_], *_] = nodes.pods.ask(nodes.places[0], "CLUSTER", "SLOTS")
    assert primary[0] == b"localhost"


def test_a_cluster_that_is_made_already_is_left_as_it_is(nodes: Nodes) -> None:
    before = nodes.roles()
    assert nodes.run(nodes.places[0], "create") == 0
    assert nodes.roles() == before


def test_a_replica_that_was_left_out_is_added(nodes: Nodes) -> None:
    """As when the job that makes the cluster was stopped before its end."""
    [replica, *_] = [
        place for place, role in zip(nodes.places, nodes.roles(), strict=True) if role == "slave"
    ]
    nodes.pods.ask(replica, "CLUSTER", "RESET", "SOFT")
    assert nodes.pods.ask(replica, "ROLE")[0] == b"master"
    assert nodes.run(nodes.places[0], "create") == 0
    nodes.await_whole()
    assert nodes.pods.ask(replica, "ROLE")[0] == b"slave"


def test_a_node_that_leaves_hands_over_first(nodes: Nodes, service: Service) -> None:
    leaving = nodes.places[nodes.roles().index("master")]
    assert nodes.run(leaving, "leave") == 0
    assert nodes.pods.ask(leaving, "ROLE")[0] == b"slave"
    nodes.pods.stop(leaving)
    wait_until(lambda: runs_jobs(service), "jobs run without the node that has left", seconds=SOON)
    nodes.start(leaving)
    nodes.await_whole()


def test_a_replica_takes_over_from_a_primary_that_dies(nodes: Nodes, service: Service) -> None:
    dying = nodes.places[nodes.roles().index("master")]
    nodes.pods.kill(dying)
    wait_until(lambda: nodes.roles().count("master") == 3, "a replica has taken over", seconds=SOON)
    wait_until(lambda: runs_jobs(service), "jobs run at each shard", seconds=SOON)
    nodes.start(dying)
    nodes.await_whole()
    assert nodes.pods.ask(dying, "ROLE")[0] == b"slave"


def test_pods_that_all_come_back_with_other_addresses_find_each_other(nodes: Nodes) -> None:
    nodes.pods.stop(*nodes.places)
    moved = nodes.at("127.0.0.2")
    for place in moved:
        nodes.start(place, address="127.0.0.2", nodes=" ".join(moved))
    wait_until(lambda: nodes.whole("127.0.0.2"), "all nodes have met again", seconds=SOON)
