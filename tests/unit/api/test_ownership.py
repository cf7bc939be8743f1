"""Ownership: a key with an `:own` scope finds no trace of other callers' jobs and files."""

import base64
import re

import orjson
import pytest

from shared.record import JobReceipt, JobReceipts
from shared.store.job_leases import OutcomeKind
from tests.unit.api.callers import ECHO, as_caller, entry, refused

OWN = "read:own+write:own"
KEYS = ",".join(
    [
        entry("ann", OWN),
        entry("bob", OWN),
        entry("admin", "read+write"),
        entry("reader", "read"),
        entry("writer", "write"),
        entry("dropper", "write:own"),
        entry("half", "write+read:own"),
        entry("watcher", "read+write:own"),
    ]
)
ANN, BOB, ADMIN, READER, WRITER, DROPPER, HALF, WATCHER = map(
    as_caller, ("ann", "bob", "admin", "reader", "writer", "dropper", "half", "watcher")
)
SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
NOBODY = "019ab1c2-7d10-7c4e-9a55-3f5b8f0e6d21"
NO_FILE = "file_019ab1c27d107c4e9a553f5b8f0e6d21"
JOB_PATHS = [
    ("GET", "/jobs/{}"),
    ("HEAD", "/jobs/{}/artifacts/out.png"),
    ("GET", "/jobs/{}/events"),
    ("GET", "/jobs/{}/logs"),
    ("GET", "/jobs/{}/attempts"),
    ("GET", "/jobs/{}/webhook"),
    ("GET", "/jobs/{}/artifacts/out.png"),
    ("DELETE", "/jobs/{}"),
    ("POST", "/jobs/{}/retry"),
    ("POST", "/jobs/{}/webhook/redeliver"),
    ("POST", "/jobs/{}/stream-token"),
]
SECRET_JOB = {
    "type": "echo",
    "params": {"message": "hush"},
    "labels": {"team": "x"},
    "webhook": {"url": "https://receiver.example/hush"},
}


@pytest.fixture
async def closed(serve, fake_redis):
    return await serve(fake_redis, api_keys=KEYS, webhook_secrets=SECRET)


async def submit(closed, headers, job=ECHO) -> str:
    answer = await closed.post("/jobs", json=job, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


async def upload(closed, headers, content=b"a,b\n1,2\n") -> str:
    answer = await closed.post("/files", content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["file_id"]


def without_ids(answer, name: str) -> str:
    """The body of an answer, without the ids of the request and of the job."""
    return re.sub(r'"request_id":"[^"]+"', "", answer.text).replace(name, "ID")


# -- jobs


@pytest.mark.parametrize(("method", "path"), JOB_PATHS)
@pytest.mark.parametrize("done", [False, True], ids=["pending", "done"])
async def test_a_job_of_another_caller_is_answered_as_one_that_does_not_exist(
    closed, worker, method, path, done
):
    job = await submit(closed, ANN, SECRET_JOB)
    if done:
        await worker.finish_next(OutcomeKind.COMPLETED, "hush")
    headers = {**BOB, "If-None-Match": 'W/"1", W/"2", W/"3"'}
    foreign = await closed.request(method, path.format(job), headers=headers)
    missing = await closed.request(method, path.format(NOBODY), headers=headers)
    assert foreign.status_code == missing.status_code == 404
    assert without_ids(foreign, job) == without_ids(missing, NOBODY)
    assert set(foreign.headers) == set(missing.headers)
    record = (await closed.get(f"/jobs/{job}", headers=ANN)).json()
    assert (record["done"], record["cancel_requested"]) == (done, False)


async def test_a_caller_reads_and_changes_its_own_jobs(closed, worker):
    job = await submit(closed, ANN, SECRET_JOB)
    answer = await closed.get(f"/jobs/{job}", headers=ANN)
    assert (answer.status_code, answer.json()["params"]) == (200, {"message": "hush"})
    known = {**ANN, "If-None-Match": answer.headers["etag"]}
    assert (await closed.get(f"/jobs/{job}", headers=known)).status_code == 304
    await worker.finish_next(OutcomeKind.COMPLETED, "hush")
    for method, path in JOB_PATHS[3:6] + JOB_PATHS[8:]:
        answer = await closed.request(method, path.format(job), headers=ANN)
        assert answer.status_code in (200, 202), (method, path)
    assert (await closed.delete(f"/jobs/{await submit(closed, ANN)}", headers=ANN)).json()[
        "state"
    ] == "cancelled"


@pytest.mark.parametrize("headers", [ADMIN, READER, WATCHER])
async def test_a_plain_read_key_reads_the_jobs_of_all_callers(closed, headers):
    job = await submit(closed, ANN)
    assert (await closed.get(f"/jobs/{job}", headers=headers)).json()["caller"] == "ann"
    assert (await closed.get("/jobs", headers=headers)).json()["items"][0]["job_id"] == job


async def test_a_key_that_reads_all_and_writes_its_own_cancels_no_other_job(closed):
    job = await submit(closed, ANN)
    refused(await closed.delete(f"/jobs/{job}", headers=WATCHER), 404, "job_not_found")
    mine = await closed.delete(f"/jobs/{await submit(closed, WATCHER)}", headers=WATCHER)
    assert mine.json()["state"] == "cancelled"


async def test_a_job_without_a_caller_belongs_to_no_key(serve, fake_redis, client):
    job = await submit(client, {})
    closed = await serve(fake_redis, api_keys=KEYS)
    refused(await closed.get(f"/jobs/{job}", headers=ANN), 404, "job_not_found")
    assert (await closed.get("/jobs", headers=ANN)).json()["items"] == []
    assert (await closed.get(f"/jobs/{job}", headers=ADMIN)).status_code == 200


@pytest.mark.parametrize("end", ["completed", "cancelled"])
async def test_an_expired_job_is_410_for_its_caller_alone(closed, worker, fake_redis, end):
    job = await submit(closed, ANN)
    if end == "completed":
        await worker.finish_next(OutcomeKind.COMPLETED, "hush")
    else:
        await closed.delete(f"/jobs/{job}", headers=ANN)
    assert await fake_redis.delete(f"jobs:record:{job}") == 1
    assert 86400 < await fake_redis.ttl(f"jobs:owner:{job}") <= 2 * 86400
    for method, path in JOB_PATHS[2:]:
        refused(await closed.request(method, path.format(job), headers=BOB), 404, "job_not_found")
        for headers in (ANN, ADMIN):
            refused(await closed.request(method, path.format(job), headers=headers), 410, "job_expired")


async def test_a_retry_takes_no_params_over_that_the_key_may_not_read(closed, worker):
    """The new job would belong to the caller, and show the params."""
    job = await submit(closed, ANN, SECRET_JOB)
    await worker.finish_next(OutcomeKind.COMPLETED, "hush")
    refused(await closed.post(f"/jobs/{job}/retry", headers=HALF), 404, "job_not_found")


# -- lists


@pytest.mark.parametrize("state", ["", "&state=pending"])
async def test_a_list_shows_the_own_jobs_alone(closed, state):
    mine = [await submit(closed, headers, SECRET_JOB) for headers in (ANN, BOB, ADMIN, ANN)][::3]
    shown = (await closed.get(f"/jobs?label=team=x{state}", headers=ANN)).json()
    assert [record["job_id"] for record in shown["items"]] == mine[::-1]
    assert shown["next_cursor"] is None


async def test_a_cursor_tells_no_id_of_another_caller(closed, monkeypatch):
    monkeypatch.setattr("shared.store.job_list.SCANNED_AT_ONCE", 2)
    monkeypatch.setattr("shared.store.job_queue.PAGES_AT_ONCE", 1)
    callers = [ANN, BOB, BOB, BOB, ANN, BOB, BOB]
    ids = [await submit(closed, headers) for headers in callers]
    foreign = {job for job, caller in zip(ids, callers, strict=True) if caller is BOB}
    shown, cursor, cursors = [], "", []
    while cursor is not None:
        page = (await closed.get(f"/jobs?cursor={cursor}", headers=ANN)).json()
        shown += [record["job_id"] for record in page["items"]]
        cursor = page["next_cursor"]
        cursors += [orjson.loads(base64.urlsafe_b64decode(cursor + "==="))] if cursor else []
    assert shown == [ids[4], ids[0]]
    assert len(cursors) >= 3
    assert not foreign & {last for *_, last in cursors}


# -- files


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_file_of_another_caller_is_answered_as_one_that_does_not_exist(closed, method):
    file = await upload(closed, ANN)
    foreign = await closed.request(method, f"/files/{file}", headers=BOB)
    missing = await closed.request(method, f"/files/{NO_FILE}", headers=BOB)
    assert foreign.status_code == missing.status_code == 404
    assert without_ids(foreign, file) == without_ids(missing, NO_FILE)
    mine = await closed.get(f"/files/{file}", headers=ANN)
    assert mine.json()["caller"] == "ann"
    assert (await closed.delete(f"/files/{file}", headers=ANN)).status_code == 204


async def test_plain_scopes_reach_the_files_of_all_callers(closed):
    file = await upload(closed, ANN)
    assert (await closed.get(f"/files/{file}", headers=READER)).status_code == 200
    assert (await closed.delete(f"/files/{file}", headers=WRITER)).status_code == 204


@pytest.mark.parametrize("headers", [BOB, DROPPER, HALF, WATCHER])
@pytest.mark.parametrize("path", ["/jobs", "/jobs/batch"])
async def test_no_job_works_on_a_file_of_another_caller(closed, headers, path):
    bodies = []
    for file in (await upload(closed, ANN), NO_FILE):
        job = {"type": "csv_profile", "params": {"file": file}}
        answer = await closed.post(path, json=job if path == "/jobs" else {"jobs": [job]}, headers=headers)
        refused(answer, 422, "unknown_file")
        bodies.append(without_ids(answer, file))
    assert bodies[0] == bodies[1]


async def test_a_job_works_on_an_own_file_and_holds_it(closed):
    file = await upload(closed, ANN)
    job = await submit(closed, ANN, {"type": "csv_profile", "params": {"file": file}})
    assert job in refused(await closed.delete(f"/files/{file}", headers=ANN), 409, "file_in_use").message


async def test_a_file_in_use_does_not_tell_of_the_job_of_another_caller(closed):
    file = await upload(closed, ANN)
    job = await submit(closed, ADMIN, {"type": "csv_profile", "params": {"file": file}})
    envelope = refused(await closed.delete(f"/files/{file}", headers=ANN), 409, "file_in_use")
    assert job not in envelope.message


# -- receipts


@pytest.mark.parametrize("headers", [WRITER, DROPPER])
async def test_without_a_scope_to_read_every_answer_is_a_receipt(closed, worker, headers):
    key = {**headers, "Idempotency-Key": "once"}
    answers = [
        await closed.post("/jobs", json=SECRET_JOB, headers=key),
        await closed.post("/jobs", json=SECRET_JOB, headers={**headers, "Prefer": "wait=0"}),
        await closed.delete(f"/jobs/{await submit(closed, headers, SECRET_JOB)}", headers=headers),
    ]
    job = answers[0].json()["job_id"]
    await worker.finish_next(OutcomeKind.COMPLETED, "hush")
    answers += [
        await closed.post("/jobs", json=SECRET_JOB, headers=key),
        await closed.post(f"/jobs/{job}/retry", headers={**headers, "Idempotency-Key": "again"}),
    ]
    await worker.finish_next(OutcomeKind.COMPLETED, "hush")
    answers += [
        await closed.post(f"/jobs/{job}/retry", headers={**headers, "Idempotency-Key": "again"}),
        await closed.post(f"/jobs/{job}/webhook/redeliver", headers=headers),
    ]
    for answer in answers:
        assert answer.status_code in (200, 202), answer.text
        assert set(answer.json()) == {"job_id", "state", "done"}
        JobReceipt.model_validate(answer.json())
    assert answers[3].json() == {"job_id": job, "state": "completed", "done": True}
    assert answers[3].headers["idempotent-replayed"] == "true"


async def test_a_batch_without_a_scope_to_read_is_answered_by_receipts(closed):
    answer = await closed.post("/jobs/batch", json={"jobs": [SECRET_JOB, SECRET_JOB]}, headers=WRITER)
    assert [set(item) for item in answer.json()["items"]] == [{"job_id", "state", "done"}] * 2
    JobReceipts.model_validate(answer.json())


@pytest.mark.parametrize(("headers", "whole"), [(WRITER, False), (HALF, False), (ADMIN, True)])
async def test_cancelling_another_callers_job_shows_no_more_than_reading_it(closed, headers, whole):
    job = await submit(closed, ANN, SECRET_JOB)
    answer = await closed.delete(f"/jobs/{job}", headers=headers)
    assert answer.json()["state"] == "cancelled"
    assert ("params" in answer.json()) is whole
    assert ("hush" in answer.text) is whole


async def test_the_document_describes_receipts_only_where_there_are_keys(closed, client):
    told = (await closed.get("/openapi.json")).json()
    for path, method, status, record, receipt in (
        ("/v1/jobs", "post", "202", "JobRecord", "JobReceipt"),
        ("/v1/jobs", "post", "200", "JobRecord", "JobReceipt"),
        ("/v1/jobs/batch", "post", "202", "JobBatch", "JobReceipts"),
        ("/v1/jobs/{job_id}", "delete", "200", "JobRecord", "JobReceipt"),
        ("/v1/jobs/{job_id}/retry", "post", "202", "JobRecord", "JobReceipt"),
        ("/v1/jobs/{job_id}/webhook/redeliver", "post", "202", "WebhookDeliveries", "JobReceipt"),
    ):
        answer = told["paths"][path][method]["responses"][status]
        forms = answer["content"]["application/json"]["schema"]["anyOf"]
        assert forms == [{"$ref": f"#/components/schemas/{name}"} for name in (record, receipt)]
        assert receipt in told["components"]["schemas"]
    get = told["paths"]["/v1/jobs/{job_id}"]["get"]["responses"]["200"]
    assert get["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/JobRecord"}
    assert "JobReceipt" not in (await client.get("/openapi.json")).text


# -- the server


async def test_counts_of_all_callers_are_for_plain_read_keys(closed):
    await submit(closed, BOB)
    own, all_of_it = [(await closed.get("/server/info", headers=headers)).json() for headers in (ANN, READER)]
    assert (own["queues"], own["webhooks"], own["jobs"], own["workers"]) == ({}, None, {}, [])
    assert all_of_it["queues"]["default"]["waiting"] == 1
    assert own["job_types"] == all_of_it["job_types"]
