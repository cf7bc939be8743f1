"""The service on a Redis Cluster: jobs, waits and cancellations, also while a primary dies."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from dev.cluster import RedisCluster, clustered
from dev.service import Service
from dev.stack import Stack, wait_until
from shared.store.preflight import obstacle
from shared.store.slots import slot_of, tag_of

SOON = 30.0
SHARDS = 8  # unless REDIS_SHARDS names another number


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with clustered(replicas=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def service(cluster: RedisCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An API and a worker, whose Redis is the cluster."""
    stack = Stack(Path(tmp_path_factory.mktemp("cluster")), REDIS_URL=cluster.url)
    service = Service(stack)
    try:
        stack.start_api()
        service.start_worker()
        wait_until(
            lambda: service.http.get(f"{stack.api_url}/workers").json()["items"], "the worker is ready"
        )
        yield service
    finally:
        service.close()


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
    """The wake-up comes by a command that blocks: without it, the worker would look much later."""
    service.run("echo", message="the worker is idle after it")
    wait_until(lambda: blocked(cluster) >= SHARDS, "the worker waits at each shard", seconds=SOON)
    begun = time.monotonic()
    service.run("echo", message="b")
    assert time.monotonic() - begun < 2


def test_a_client_that_waits_gets_the_end(service: Service) -> None:
    job_id = service.submit("sleep", seconds=0.5)
    assert get(service, f"/jobs/{job_id}?wait=20").json()["state"] == "completed"


def test_a_running_job_is_cancelled_at_once(service: Service) -> None:
    job_id = service.submit("sleep", seconds=600)
    service.wait_for(job_id, "running", seconds=SOON)
    begun = time.monotonic()
    service.http.delete(f"{service.stack.api_url}/jobs/{job_id}")
    service.wait_for(job_id, "cancelled", seconds=SOON)
    assert time.monotonic() - begun < 4  # the next heartbeat comes after 5 s


def test_no_job_is_lost_and_no_attempt_consumed_when_the_primary_dies(
    service: Service, cluster: RedisCluster
) -> None:
    before = [service.submit("sleep", seconds=0.2) for _ in range(30)]
    cluster.await_replicas()
    cluster.kill(cluster.port_of(slot_of(tag_of(0))))
    accepted: list[str] = []

    def submit() -> bool:
        answer = service.http.post(
            f"{service.stack.api_url}/jobs", json={"type": "echo", "params": {"message": "a"}}
        )
        if answer.status_code == 202:
            accepted.append(answer.json()["job_id"])
        return answer.status_code == 202

    wait_until(submit, "a job is accepted by another shard", seconds=SOON)

    def completed() -> bool:
        """A job of the primary that has died can't be read until its replica takes over."""
        answers = [get(service, f"/jobs/{job_id}") for job_id in (*before, *accepted)]
        assert {answer.status_code for answer in answers} <= {200, 503}
        records.update(
            {answer.json()["job_id"]: answer.json() for answer in answers if answer.status_code == 200}
        )
        return all(records.get(job_id, {}).get("done") for job_id in (*before, *accepted))

    records: dict[str, dict[str, Any]] = {}
    wait_until(completed, "all jobs have ended", seconds=SOON)
    assert {(record["state"], record["attempt"], len(record["errors"])) for record in records.values()} == {
        ("completed", 1, 0)
    }
    assert all(worker.alive for worker in service.workers)


def test_lists_and_counts_are_of_all_shards(service: Service) -> None:
    job_ids = [service.submit("echo", message=number) for number in range(20)]
    assert {job_id[-2:] for job_id in job_ids} == {f"{shard:02x}" for shard in range(8)}
    page = get(service, "/jobs?limit=20").json()
    assert [job["job_id"] for job in page["items"]] == sorted(job_ids, reverse=True)
    assert page["incomplete"] is False
    info = get(service, "/server/info").json()
    assert len(info["workers"]) == 1
    assert sum(info["jobs"].values()) >= 70
