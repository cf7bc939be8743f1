"""Files of jobs: submissions that name uploaded files."""

import pytest

from api.submission import Submissions
from shared.store import redis_keys
from shared.store.job_leases import OutcomeKind
from tests.unit.api.reading_jobs import READ, refused, submit, upload


@pytest.fixture
async def client(serve, fake_redis, monkeypatch):
    """A client of an API with a job type that reads files."""
    monkeypatch.setattr("api.configuration.load_job_types", lambda _: {"read": READ})
    return await serve(fake_redis)


def test_a_submission_knows_all_files_that_it_names():
    ids = [f"file_{n:032x}" for n in range(4)]
    params = {"first": ids[0], "more": [ids[1], ids[0]], "named": {"a": ids[2], "b": 3}, "text": ids[3]}
    submission = Submissions({"read": READ}).validate({"type": "read", "params": params})
    assert submission.files == ids[:3]


async def test_a_job_is_noted_at_each_of_its_files(client, fake_redis):
    one, two = await upload(client), await upload(client)
    job_id = (await submit(client, first=one, more=[two])).json()["job_id"]
    for file_id in (one, two):
        assert await fake_redis.smembers(f"{redis_keys.FILE}{file_id}:jobs") == {job_id.encode()}


async def test_a_job_that_names_a_file_which_is_not_there_is_refused(client, fake_redis):
    file_id, missing = await upload(client), "file_" + "0" * 32
    answer = refused(await submit(client, first=file_id, named={"a": missing}), 422, "unknown_file")
    assert missing in answer["message"]
    jobs = {"jobs": [{"type": "read", "params": {"first": name}} for name in (file_id, missing)]}
    refused(await client.post("/jobs/batch", json=jobs), 422, "unknown_file")
    refused(await submit(client, first="../etc/passwd"), 422, "invalid_request")
    assert await fake_redis.keys(redis_keys.RECORD + "*") == []
    assert not await fake_redis.exists(f"{redis_keys.FILE}{file_id}:jobs")


async def test_a_repeated_submission_needs_the_file_no_more(client, worker):
    file_id = await upload(client)
    body, once = {"type": "read", "params": {"first": file_id}}, {"Idempotency-Key": "k"}
    first = await client.post("/jobs", json=body, headers=once)
    await worker.finish_next(OutcomeKind.COMPLETED, 1)
    await client.delete(f"/files/{file_id}")
    again = await client.post("/jobs", json=body, headers=once)
    assert (again.status_code, again.json()["job_id"]) == (202, first.json()["job_id"])


async def test_a_job_is_done_again_with_its_files_while_they_are_there(client, worker):
    file_id = await upload(client)
    job_id = (await submit(client, first=file_id)).json()["job_id"]
    await worker.finish_next(OutcomeKind.FAILED, {"code": "x"})
    assert (await client.post(f"/jobs/{job_id}/retry")).status_code == 202
    refused(await client.delete(f"/files/{file_id}"), 409, "file_in_use")
    await worker.finish_next(OutcomeKind.FAILED, {"code": "x"})
    await client.delete(f"/files/{file_id}")
    refused(await client.post(f"/jobs/{job_id}/retry"), 422, "unknown_file")
