"""Changes of many jobs: bodies, cursors, sums; the same for both faces."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from client import BulkChange, BulkRefusal, Job, JobServerError
from tests.unit.client.fake_server import JOB_ID, FakeServer, error_response, record, shards_missing

Open = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("clock")
REFUSAL = {"job_id": "x", "code": "job_not_found", "message": "There is no job x.", "hint": "Check the id."}


def page(matched: int, cursor: str | None = None, **fields: Any) -> httpx.Response:
    body = {"matched": matched, "changed": matched, "dry_run": False, "next_cursor": cursor, "errors": []}
    return httpx.Response(200, json={**body, **fields})


async def test_jobs_are_cancelled_by_filters(face: Open):
    server = FakeServer(page(3))
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    change = await face(server).cancel_jobs(
        state="pending", type=None, label={"team": "vision"}, created_before=at
    )
    assert change == BulkChange(3, 3, (), ())
    assert (server.request.method, server.request.url.path) == ("POST", "/v1/jobs/cancel")
    wanted = {
        "state": "pending",
        "labels": {"team": "vision"},
        "created_before": "2026-01-01T12:00:00+00:00",
    }
    assert server.bodies() == [{"filter": wanted, "dry_run": False, "cursor": None}]


async def test_a_change_goes_on_until_the_last_cursor(face: Open):
    server = FakeServer(
        page(500, "c1", errors=[REFUSAL]),
        page(0, "c2"),
        error_response(503, "queue_unavailable"),
        page(7, job_ids=["n"]),
    )
    change = await face(server).retry_jobs(state="failed")
    assert change == BulkChange(507, 507, ("n",), (BulkRefusal(**REFUSAL),))
    assert [body["cursor"] for body in server.bodies()] == [None, "c1", "c2", "c2"]
    assert {request.url.path for request in server.requests} == {"/v1/jobs/retry"}
    assert len({*server.keys()}) == 1


async def test_a_cancellation_without_a_shard_ends_with_the_number_of_cancelled_jobs(face: Open):
    """A second request would say that no job was cancelled."""
    server = FakeServer(shards_missing(2, 5))
    with pytest.raises(JobServerError, match="were cancelled: 7") as caught:
        await face(server).cancel_jobs(state="pending")
    assert caught.value.missing_shards == (2, 5)


async def test_other_bulk_requests_are_sent_again_until_all_shards_answer(face: Open):
    server = FakeServer(shards_missing(2), page(3), shards_missing(2), page(4, changed=0))
    assert (await face(server).retry_jobs(state="failed")).changed == 3
    assert (await face(server).cancel_jobs(state="pending", dry_run=True)).matched == 4


async def test_a_dry_run_changes_nothing(face: Open):
    server = FakeServer(page(2, changed=0, dry_run=True))
    change = await face(server).cancel_jobs(queue="gpu", dry_run=True)
    assert (change.matched, change.changed) == (2, 0)
    assert server.bodies()[0]["dry_run"] is True


async def test_many_ids_are_several_requests(face: Open):
    server = FakeServer(page(1000), page(500, "c"), page(1))
    ids = [Job.from_record(record()), *map(str, range(1500))]
    assert (await face(server).cancel_jobs(ids)).matched == 1501
    first, second, third = server.bodies()
    assert first["ids"][:2] == [JOB_ID, "0"]
    assert [len(body["ids"]) for body in (first, second, third)] == [1000, 501, 501]
    assert third["cursor"] == "c"


async def test_no_ids_are_no_request(face: Open):
    assert await face(FakeServer()).cancel_jobs([]) == BulkChange(0, 0, (), ())


@pytest.mark.parametrize(
    ("ids", "filters"), [(None, {}), (None, {"state": None, "label": {}}), (["x"], {"state": "pending"})]
)
async def test_either_ids_or_filters_are_needed(face: Open, ids: Any, filters: Any):
    client = face(FakeServer())
    for change in (client.cancel_jobs, client.retry_jobs):
        with pytest.raises(ValueError, match="Give ids or filters"):
            await change(ids, **filters)


async def test_a_key_goes_with_each_request_of_a_retry(face: Open):
    server = FakeServer(page(1, "c"), page(1))
    await face(server).retry_jobs(state="failed", idempotency_key="k")
    assert server.keys() == ["k", "k"]


async def test_a_refusal_ends_the_change(face: Open):
    server = FakeServer(page(1, "c"), error_response(403, "forbidden"))
    with pytest.raises(JobServerError, match="forbidden"):
        await face(server).cancel_jobs(state="pending")
