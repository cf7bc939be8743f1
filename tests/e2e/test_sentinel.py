"""Fail-over by Sentinels under load: by their command, and after a kill or a freeze of the primary."""

import time
from collections.abc import Iterator
from random import Random

import pytest

from chaos import records
from chaos.load_generator import LoadGenerator
from dev.sentinels import SentinelGroup, watched_over
from dev.service import Service, serving
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
