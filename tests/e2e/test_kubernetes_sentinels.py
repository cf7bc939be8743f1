"""The overlay `sentinel`: its scripts with real servers and Sentinels, and the service on them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.cluster import free_ports
from dev.service import Service
from dev.stack import wait_until
from tests.e2e.pods_of_redis import Pods, needs_redis_cli, runs_a_job, start_service

pytestmark = [needs_redis_cli, pytest.mark.pods]
SOON = 60.0
BIND = ("--bind", "127.0.0.1")


class Group:
    """Three servers and three Sentinels, known by the name `localhost`."""

    def __init__(self, folder: Path) -> None:
        self.pods = Pods("sentinel", folder)
        places = [f"localhost:{port}" for port in free_ports(6)]
        self.servers, self.sentinels = places[:3], places[3:]

    @property
    def url(self) -> str:
        """REDIS_URL of the secret, with these hosts."""
        url = self.pods.secret("url")
        for number, place in enumerate(self.sentinels):
            url = url.replace(f"sentinel-{number}.sentinel", place)
        return url

    def start(self) -> None:
        for place in self.servers:
            self.start_server(place)
        for place in self.sentinels:
            self.pods.start(
                place,
                "sentinel.sh",
                *BIND,
                users="sentinels.acl",
                FIRST=self.servers[0],
                DOWN_AFTER_MILLISECONDS="2000",
                FAILOVER_TIMEOUT_MILLISECONDS="3000",
            )

    def start_server(self, place: str) -> None:
        sentinels = " ".join(self.sentinels)
        self.pods.start(place, "redis.sh", "start", *self.pods.options(), *BIND, SENTINELS=sentinels)

    def run(self, place: str, word: str) -> int:
        return self.pods.run(place, "redis.sh", word, SENTINELS=" ".join(self.sentinels))

    def primary(self) -> str:
        """The primary by the word of all Sentinels, once they agree."""
        named = {self._named_by(sentinel) for sentinel in self.sentinels}
        return named.pop() if len(named) == 1 else ""

    def has_one_primary(self) -> bool:
        """Whether one server alone is a primary, and all Sentinels name it."""
        roles = {place: self.pods.ask(place, "ROLE") for place in self.servers}
        return [place for place, role in roles.items() if role and role[0] == b"master"] == [self.primary()]

    def whole(self) -> bool:
        """Whether two replicas are in step, and each Sentinel knows them and the other Sentinels."""
        known = [self.pods.ask(place, "SENTINEL", "REPLICAS", "jobs") for place in self.sentinels]
        good = [sum(is_in_step(words) for words in replicas or []) for replicas in known]
        return good == [2, 2, 2] and all(self.run(place, "ready") == 0 for place in self.servers)

    def await_whole(self) -> None:
        wait_until(self.whole, "two replicas follow the primary, and the Sentinels know them", seconds=SOON)

    def await_other_primary(self, former: str) -> None:
        wait_until(
            lambda: self.primary() not in ("", former), "the Sentinels name another primary", seconds=SOON
        )

    def _named_by(self, sentinel: str) -> str:
        found = self.pods.ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "jobs")
        return b":".join(found).decode() if found else ""


def is_in_step(words: list[bytes]) -> bool:
    """Whether a replica is, by the names and values of a Sentinel's answer."""
    return dict(zip(words[::2], words[1::2], strict=True))[b"master-link-status"] == b"ok"


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    group = Group(tmp_path_factory.mktemp("pods"))
    try:
        group.start()
        group.await_whole()
        yield group
    finally:
        group.pods.close()


@pytest.fixture(scope="module")
def service(group: Group, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = start_service(tmp_path_factory.mktemp("service"), REDIS_URL=group.url, REDIS_ACK_REPLICAS="1")
    yield service
    service.close()


def test_at_the_first_start_the_first_server_is_the_primary(group: Group, service: Service) -> None:
    assert group.primary() == group.servers[0]
    assert runs_a_job(service)


def test_a_server_that_leaves_hands_over_first(group: Group, service: Service) -> None:
    former = group.primary()
    assert group.run(former, "leave") == 0
    assert group.pods.ask(former, "ROLE")[0] == b"slave"
    group.await_other_primary(former)
    group.pods.stop(former)
    wait_until(lambda: runs_a_job(service), "a job runs without the server that has left", seconds=SOON)
    group.start_server(former)
    group.await_whole()
    assert group.primary() != former


def test_another_server_takes_over_from_one_that_dies(group: Group, service: Service) -> None:
    former = group.primary()
    group.pods.kill(former)
    group.await_other_primary(former)
    wait_until(lambda: runs_a_job(service), "a job runs at the new primary", seconds=SOON)
    group.start_server(former)
    group.await_whole()
    assert group.pods.ask(former, "ROLE")[0] == b"slave"


def test_all_pods_come_back_at_once_with_one_primary_and_all_data(group: Group, service: Service) -> None:
    """Any server may be the primary: Sentinels that wait too long for the former one choose another."""
    job_id = service.submit("echo", message="before")
    service.wait_for(job_id, "completed", seconds=SOON)
    group.pods.stop(*group.sentinels, *group.servers)
    group.start()
    group.await_whole()
    wait_until(group.has_one_primary, "the Sentinels name the only primary", seconds=SOON)
    wait_until(lambda: runs_a_job(service), "a job runs again", seconds=SOON)
    assert service.job(job_id)["state"] == "completed"


def test_a_primary_that_has_lost_its_volume_waits_and_becomes_a_replica(
    group: Group, service: Service
) -> None:
    """Replicas copy the data of their primary: an empty one would empty them."""
    job_id = service.submit("echo", message="before")
    service.wait_for(job_id, "completed", seconds=SOON)
    former = group.primary()
    group.pods.kill(former)
    shutil.rmtree(group.pods.data(former))
    group.start_server(former)
    wait_until(lambda: "waits for the Sentinels" in group.pods.log(former), "it waits", seconds=SOON)
    group.await_other_primary(former)
    group.await_whole()
    assert service.job(job_id)["state"] == "completed"
