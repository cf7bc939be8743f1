"""The service on a Redis Cluster: jobs, files, waits and cancellations."""

from collections.abc import Iterator

import httpx
import pytest
from redis import Redis

from dev.cluster import RedisCluster, clustered
from dev.service import Service, serving
from dev.stack import wait_until
from shared.store.preflight import obstacle
from shared.store.slots import slot_of, tag_of

SOON = 30.0
SHARDS = 8  # unless REDIS_SHARDS names another number
CSV = b"name,age\nAnn,1\nBob,2\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with clustered() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def service(cluster: RedisCluster) -> Iterator[Service]:
    """An API and a worker, which by itself looks for jobs and cancellations every 20 minutes only."""
    with serving(workers=1, cluster=cluster, WORKER_LEASE_SECONDS="3600") as service:
        yield service


def get(service: Service, path: str) -> httpx.Response:
    return service.http.get(service.stack.api_url + path)


def test_a_cluster_is_no_obstacle_if_the_url_names_it_as_one(cluster: RedisCluster) -> None:
    assert obstacle(cluster.url) is None
    plain = obstacle(f"redis://127.0.0.1:{cluster.ports[0]}/0")
    assert plain is not None
    assert "redis+cluster://" in plain


def test_jobs_are_performed(service: Service) -> None:
    job_ids = [service.submit("echo", message=number) for number in range(50)]
    records = [service.wait_for(job_id, "completed", seconds=SOON) for job_id in job_ids]
    assert [record["result"]["message"] for record in records] == list(range(50))
    assert {record["attempt"] for record in records} == {1}


def blocked(cluster: RedisCluster) -> int:
    """The connections that wait for a wake-up, at all primaries."""
    total = 0
    for port in {cluster.port_of(slot_of(tag_of(shard))) for shard in range(SHARDS)}:
        with Redis(port=port) as primary:
            total += int(primary.info("clients")["blocked_clients"])
    return total


def test_an_idle_worker_starts_a_job_at_once(service: Service, cluster: RedisCluster) -> None:
    """The wake-up comes by a command that blocks."""
    service.run("echo", message="the worker is idle after it")
    wait_until(lambda: blocked(cluster) >= SHARDS, "the worker waits at each shard", seconds=SOON)
    service.run("echo", message="b")


def test_a_client_that_waits_gets_the_end(service: Service) -> None:
    job_id = service.submit("sleep", seconds=0.5)
    assert get(service, f"/jobs/{job_id}?wait=20").json()["state"] == "completed"


def test_a_running_job_is_cancelled_at_once(service: Service) -> None:
    job_id = service.submit("sleep", seconds=600)
    service.wait_for(job_id, "running", seconds=SOON)
    service.http.delete(f"{service.stack.api_url}/jobs/{job_id}")
    service.wait_for(job_id, "cancelled", seconds=SOON)


def test_lists_and_counts_are_of_all_shards(service: Service) -> None:
    job_ids = [service.submit("echo", message=number) for number in range(20)]
    assert {job_id[-2:] for job_id in job_ids} == {f"{shard:02x}" for shard in range(8)}
    page = get(service, "/jobs?limit=20").json()
    assert [job["job_id"] for job in page["items"]] == sorted(job_ids, reverse=True)
    assert page["incomplete"] is False
    info = get(service, "/server/info").json()
    assert len(info["workers"]) == 1
    assert sum(info["jobs"].values()) >= 20


def test_a_job_with_an_uploaded_file_is_performed(service: Service) -> None:
    upload = service.call("POST", "/files", content=CSV, headers={"Content-Type": "text/csv"}).json()
    record = service.run("csv_profile", file=upload["file_id"])
    assert record["job_id"][-2:] == "00"  # where all files are recorded
    assert record["result"]["rows"] == 2
