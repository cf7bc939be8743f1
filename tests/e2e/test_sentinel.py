"""Fail-over by Sentinels under load: by their command, and after a kill or a freeze of the primary."""

import time
from collections.abc import Iterator
from random import Random

import httpx
import pytest

from chaos import records
from chaos.load_generator import LoadGenerator
from dev.sentinels import SentinelGroup, watched_over
from dev.service import Service, accepted, serving
from dev.stack import wait_until

SOON = 60.0  # seconds in which anything that should happen does
RATE = 200  # jobs a second
WAYS = {
    "by command": SentinelGroup.fail_over,
    "after a kill": SentinelGroup.kill_primary,
    "after a freeze": SentinelGroup.freeze_primary,
}


@pytest.fixture(scope="module")
def group() -> Iterator[SentinelGroup]:
    with watched_over() as group:
        yield group


@pytest.fixture(scope="module")
def service(group: SentinelGroup) -> Iterator[Service]:
    with serving(workers=2, sentinels=group, WORKER_LEASE_SECONDS="6", REDIS_ACK_REPLICAS="1") as service:
        yield service


def submit_with_key(service: Service) -> httpx.Response:
    body = {"type": "echo", "params": {"message": 1}, "labels": {"test": "repeated"}}
    return service.call("POST", "/jobs", json=body, headers={"Idempotency-Key": "repeated"})


def test_a_submission_that_too_few_replicas_have_is_repeated_without_a_second_job(
    service: Service, group: SentinelGroup
) -> None:
    primary = group.primary_port()
    replicas = [port for port in group.ports if port != primary]
    for port in replicas:
        group.kill(port)
    refused = [submit_with_key(service) for _ in range(2)]
    for port in replicas:
        group.start(port, primary=primary)
    wait_until(group.complete, "the Sentinels agree", seconds=SOON)
    wait_until(lambda: submit_with_key(service).status_code == 202, "a repeat is accepted", seconds=SOON)
    job_id = accepted(submit_with_key(service))

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [
        (503, "queue_unavailable")
    ] * 2
    assert {"may be accepted" in answer.json()["hint"] for answer in refused} == {True}
    assert service.wait_for(job_id, "completed", seconds=SOON)["attempt"] == 1
    page = service.call("GET", "/jobs?label=test=repeated").json()
    assert [job["job_id"] for job in page["items"]] == [job_id]


@pytest.mark.parametrize("way", WAYS)
def test_a_fail_over_loses_no_accepted_job_and_charges_none(
    way: str, service: Service, group: SentinelGroup
) -> None:
    job_id = service.submit_running("sleep", seconds=12)  # longer than the outage and a lease
    with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.05), rng=Random(way)) as load:
        load.wait_for_success(within=SOON)
        begun = time.time()
        former = WAYS[way](group)
        wait_until(lambda: group.primary_port() != former, "another server is the primary", seconds=SOON)
        accepted_again = load.wait_for_success(within=SOON)
    records_of = records.settled(group.primary(), [job_id, *load.accepted], seconds=SOON)
    group.rejoin(former)

    assert accepted_again - begun < group.down_after + 5
    open_records = {job_id: record for job_id, record in records_of.items() if not records.is_done(record)}
    assert open_records == {}
    assert records.count_charged(records_of.values()) == 0
    assert service.stack.count_exited() == 0
    assert records_of[job_id]["state"] == "completed"
