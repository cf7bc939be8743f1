"""A job's log over HTTP."""

import pytest

from shared.store.job_leases import AttemptReport, Claim
from tests.manual_worker import ManualWorker

ECHO = {"type": "echo", "params": {"message": "hi"}}


def written(number: int, message: str) -> bytes:
    return b'%d 0 {"attempt":1,"message":"%b","fields":{"n":%d}}' % (number, message.encode(), number)


@pytest.fixture
async def job_id(client) -> str:
    return (await client.post("/jobs", json=ECHO)).json()["job_id"]


@pytest.fixture
async def claim(job_id: str, worker: ManualWorker) -> Claim:
    return await worker.claim_one()


async def say(worker: ManualWorker, claim: Claim, number: int, message: str) -> None:
    await worker.job_leases.report([AttemptReport(claim, lines=written(number, message))])


async def test_a_log_is_read_in_order(client, job_id, claim, worker):
    await say(worker, claim, 1, "one")
    await say(worker, claim, 2, "two")
    log = (await client.get(f"/v1/jobs/{job_id}/logs")).json()
    assert log["total"] == 2
    assert [line.pop("at")[-1] for line in log["items"]] == ["Z", "Z"]
    assert log["items"] == [
        {"seq": 1, "attempt": 1, "message": "one", "fields": {"n": 1}},
        {"seq": 2, "attempt": 1, "message": "two", "fields": {"n": 2}},
    ]


async def test_the_lines_after_a_line_are_read(client, job_id, claim, worker):
    for number, message in enumerate(("one", "two", "three"), 1):
        await say(worker, claim, number, message)
    log = (await client.get(f"/jobs/{job_id}/logs?after=2")).json()
    assert [line["message"] for line in log["items"]] == ["three"]
    assert log["total"] == 3


async def test_a_job_that_wrote_nothing_has_an_empty_log(client, job_id):
    assert (await client.get(f"/jobs/{job_id}/logs")).json() == {"items": [], "total": 0}


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "", "9" * 20])
async def test_an_invalid_line_number_is_refused(client, job_id, after):
    answer = await client.get(f"/jobs/{job_id}/logs", params={"after": after})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["details"][0]["path"] == "after"


async def test_no_job_has_no_log(client):
    answer = await client.get("/jobs/nope/logs")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


async def test_without_redis_there_is_no_log(lonely_client):
    answer = await lonely_client.get("/jobs/some/logs")
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
