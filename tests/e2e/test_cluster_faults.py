"""The service on a Redis Cluster whose nodes die; accepted means that a replica has the job."""

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import httpx
import pytest

from dev.cluster import RedisCluster, clustered
from dev.service import Service, serving
from dev.stack import wait_until
from shared.ids import shard_of
from shared.store.slots import slot_of, tag_of

SOON = 60.0
SHARDS = 8  # unless REDIS_SHARDS names another number
CSV = b"name,age\nAnn,1\nBob,2\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with clustered(replicas=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def service(cluster: RedisCluster) -> Iterator[Service]:
    with serving(workers=1, cluster=cluster, REDIS_ACK_REPLICAS="1", WORKER_LEASE_SECONDS="6") as service:
        yield service


def submit(service: Service, *, key: str | None = None, **params: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else None
    return service.post("sleep", headers=headers, seconds=0, **params)


def key_of(shard: int, name: str) -> str:
    """An idempotency key whose jobs go to a shard."""
    keys = (f"{name}-{number}" for number in range(1000))
    return next(key for key in keys if crc32(f"-:{key}".encode()) % SHARDS == shard)


def port_of(cluster: RedisCluster, shard: int) -> int:
    """The port of the shard's primary."""
    return cluster.port_of(slot_of(tag_of(shard)))


def shard_elsewhere(cluster: RedisCluster, port: int) -> int:
    """A shard of another primary than that on a port."""
    return next(shard for shard in range(SHARDS) if port_of(cluster, shard) != port)


def test_a_job_is_accepted_once_the_replica_of_its_own_primary_has_it(
    service: Service, cluster: RedisCluster
) -> None:
    primary = port_of(cluster, 0)
    replica = cluster.replica_of(primary)
    here, elsewhere = key_of(0, "here"), key_of(shard_elsewhere(cluster, primary), "elsewhere")
    cluster.kill(replica)
    refused = submit(service, key=here)
    accepted = submit(service, key=elsewhere)
    cluster.rejoin(replica)
    repeated = [submit(service, key=here) for _ in range(2)]

    assert (refused.status_code, refused.json()["code"]) == (503, "queue_unavailable")
    assert "may be accepted" in refused.json()["hint"]
    assert accepted.status_code == 202, accepted.text
    assert {answer.status_code for answer in repeated} == {202}, repeated[0].text
    [job_id] = {answer.json()["job_id"] for answer in repeated}
    assert job_id[-2:] == "00"
    assert service.wait_for(job_id, "completed", seconds=SOON)["attempt"] == 1
    page = service.call("GET", "/jobs?limit=100").json()["items"]
    assert [job["job_id"] for job in page if job["job_id"][-2:] == "00"] == [job_id]


def test_a_shard_without_its_replica_gets_no_new_jobs_until_the_replica_is_back(
    service: Service, cluster: RedisCluster
) -> None:
    """A submission to it would be refused, and may be accepted nonetheless; others take its turn."""
    primary = port_of(cluster, 0)
    lacking = {shard for shard in range(SHARDS) if port_of(cluster, shard) == primary}
    replica = cluster.replica_of(primary)
    cluster.kill(replica)
    answers = [submit(service) for _ in range(4 * SHARDS)]
    cluster.rejoin(replica)
    served: set[int] = set()

    def serves_all() -> bool:
        answer = submit(service)
        if answer.status_code == 202:
            served.add(shard_of(answer.json()["job_id"], SHARDS))
        return lacking <= served

    refused = [answer for answer in answers if answer.status_code != 202]
    assert 1 <= len(refused) <= len(lacking), [answer.text for answer in refused]
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(503, "queue_unavailable")}
    job_ids = [answer.json()["job_id"] for answer in answers if answer.status_code == 202]
    assert lacking.isdisjoint(shard_of(job_id, SHARDS) for job_id in job_ids)
    wait_until(serves_all, "new jobs go to its shards again", seconds=SOON)


def test_no_job_is_lost_and_no_attempt_consumed_when_the_primary_dies(
    service: Service, cluster: RedisCluster
) -> None:
    before = [service.submit("sleep", seconds=0.2) for _ in range(30)]
    port = port_of(cluster, 0)
    cluster.kill(port)
    accepted: list[str] = []

    def is_accepted() -> bool:
        answer = submit(service)
        if answer.status_code == 202:
            accepted.append(answer.json()["job_id"])
        return answer.status_code == 202

    wait_until(is_accepted, "a job is accepted by another shard", seconds=SOON)
    records: dict[str, dict[str, Any]] = {}

    def completed() -> bool:
        """A job of the primary that has died can't be read until its replica takes over."""
        answers = [service.call("GET", f"/jobs/{job_id}") for job_id in (*before, *accepted)]
        assert {answer.status_code for answer in answers} <= {200, 503}
        records.update(
            {answer.json()["job_id"]: answer.json() for answer in answers if answer.status_code == 200}
        )
        return all(records.get(job_id, {}).get("done") for job_id in (*before, *accepted))

    wait_until(completed, "all jobs have ended", seconds=SOON)
    cluster.rejoin(port)
    assert {(record["state"], record["attempt"], len(record["errors"])) for record in records.values()} == {
        ("completed", 1, 0)
    }
    assert all(worker.alive for worker in service.workers)
    assert {line["shard"] for line in service.workers[0].log("Redis is away; running jobs go on")} != set()


def test_without_the_shard_of_files_other_jobs_go_on(service: Service, cluster: RedisCluster) -> None:
    """The records of files lie on the first shard, with the jobs that name them."""
    upload = service.call("POST", "/files", content=CSV, headers={"Content-Type": "text/csv"}).json()
    port = port_of(cluster, 0)
    others = {shard for shard in range(SHARDS) if port_of(cluster, shard) != port}
    elsewhere = key_of(min(others), "others go on")
    with cluster.frozen(port, cluster.replica_of(port)):
        refused = [
            service.call("POST", "/files", content=CSV, headers={"Content-Type": "text/csv"}),
            service.post("csv_profile", file=upload["file_id"]),
        ]
        accepted = submit(service, key=elsewhere)
        record = service.wait_for(accepted.json()["job_id"], "completed", seconds=SOON)
    wait_until(cluster.is_in_step, "the first shard is back")
    wait_until(
        lambda: service.post("csv_profile", file=upload["file_id"]).status_code == 202,
        "a job with a file is accepted",
    )
    profile = service.wait_for(
        service.submit("csv_profile", file=upload["file_id"]), "completed", seconds=SOON
    )

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [
        (503, "queue_unavailable")
    ] * 2
    assert int(record["job_id"][-2:], 16) in others
    assert profile["result"]["rows"] == 2
