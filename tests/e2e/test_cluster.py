"""The service on a Redis Cluster: jobs, files, waits and cancellations."""

from collections.abc import Iterator

import httpx
import pytest
from redis import Redis

from client import Client, JobServerError
from client.command_line.commands import main
from dev.cluster import RedisCluster, clustered
from dev.service import Service, serving
from dev.stack import wait_until
from shared.store.preflight import obstacle
from shared.store.slots import slot_of, tag_of
from tests.e2e.missing_shards import SHARDS, primary_away

SOON = 30.0
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


# -- clients, while shards do not answer


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.stack.api_url) as client:
        yield client


def test_a_client_learns_that_jobs_are_missing(
    service: Service, cluster: RedisCluster, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = {service.submit_for_later("echo", message=number) for number in range(SHARDS)}
    with primary_away(cluster, service) as shards:
        pages = list(client.iter_pages(state="pending", limit=50))
        assert all(page.incomplete for page in pages)
        left = {job_id for job_id in jobs if int(job_id[-2:], 16) not in shards}
        assert jobs & {job.job_id for page in pages for job in page.jobs} == left
        assert client.queue("default").incomplete
        assert client.workers().incomplete
        assert client.figures().shards.missing == tuple(shards)
        assert main(["--url", service.stack.api_url, "list", "--state", "pending", "--json"]) == 0
        out, err = capsys.readouterr()
        assert len(out.splitlines()) >= len(left)
        assert err.startswith("Jobs are left out: ")
    assert not any(page.incomplete for page in client.iter_pages(limit=50))


def test_a_drain_says_what_it_has_done_without_some_shards(
    service: Service, cluster: RedisCluster, client: Client
) -> None:
    client.drain("default")
    for number in range(SHARDS):
        service.submit_for_later("echo", message=number)
    with primary_away(cluster, service) as shards:
        with pytest.raises(JobServerError) as caught:
            client.drain("default")
        assert caught.value.missing_shards == tuple(shards)
        assert f"Jobs of the others that were cancelled: {SHARDS - len(shards)}." in caught.value.message
    assert client.drain("default").cancelled == len(shards)


def test_the_place_of_a_job_is_an_estimate(service: Service, client: Client) -> None:
    with service.paused():
        [*_, last] = [service.submit("echo", message=number) for number in range(2 * SHARDS)]
        found = client.get(last)
        assert (found.queue_position, found.queue_position_estimated) == (SHARDS + 1, True)
