"""Labels, times, webhooks and Idempotency-Keys of submissions; batches, retries by hand, full queues."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient

from shared.store.job_leases import Finished, Outcome, OutcomeKind

ECHO: dict[str, Any] = {"type": "echo", "params": {"message": "hi"}}
HOOK = {"url": "https://example.com/hook?a=b"}
SECRETS = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def hooked(serve, fake_redis) -> AsyncClient:
    """A client of an API that accepts webhooks."""
    client: AsyncClient = await serve(fake_redis, webhook_secrets=SECRETS)
    return client


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def submit(client: AsyncClient, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/jobs", json={**ECHO, **fields}, headers=headers)
    assert answer.status_code == 202, answer.text
    record: dict[str, Any] = answer.json()
    return record


async def faults(client: AsyncClient, path: str = "/jobs", **body: Any) -> list[tuple[str, str]]:
    answer = await client.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
    return [(fault["path"], fault["kind"]) for fault in answer.json()["details"]]


# -- labels and times


async def test_labels_are_in_the_record(client):
    record = await submit(client, labels={"team": "vision", "tier/1": "ä"})
    assert record["labels"] == {"team": "vision", "tier/1": "ä"}
    assert (await client.get(f"/jobs/{record['job_id']}")).json()["labels"] == record["labels"]


@pytest.mark.parametrize(
    "labels",
    [
        {"": "x"},
        {"a b": "x"},
        {"a": "x" * 129},
        {"a": 1},
        {"a" * 65: "x"},
        {f"l{n}": "x" for n in range(17)},
        ["a"],
    ],
    ids=["empty name", "space", "long value", "number", "long name", "too many", "list"],
)
async def test_labels_that_are_not_allowed(client, labels):
    (fault,) = await faults(client, **ECHO, labels=labels)
    assert fault[0].startswith("labels")


async def test_a_job_of_later_shows_when(client):
    record = await submit(client, run_at="2026-12-24T18:00:00+01:00")
    assert record["run_at"] == "2026-12-24T17:00:00Z"
    assert (await submit(client, delay_seconds=60))["run_at"] is not None


async def test_a_time_that_has_passed_is_now_and_no_place_before_others(client, worker):
    first = await submit(client)
    record = await submit(client, run_at="2000-01-01T00:00:00Z")
    assert record["run_at"] is None
    assert (await worker.claim_one()).job_id == first["job_id"]


async def test_the_time_to_start_by_is_in_the_record(client):
    assert (await submit(client, start_within_seconds=30))["start_by"] is not None
    assert (await submit(client))["start_by"] is None


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"run_at": "2026-01-01T12:00:00"}, "run_at"),
        ({"run_at": 1767225600}, "run_at"),
        ({"run_at": "soon"}, "run_at"),
        ({"run_at": in_seconds(2 * 366 * 86400)}, "run_at"),
        ({"delay_seconds": -1}, "delay_seconds"),
        ({"delay_seconds": 366 * 86400}, "delay_seconds"),
        ({"delay_seconds": "x"}, "delay_seconds"),
        ({"start_within_seconds": 0}, "start_within_seconds"),
        ({"delay_seconds": 1, "run_at": in_seconds(60)}, ""),
        ({"webhok": {}}, "webhok"),
    ],
)
async def test_times_that_are_not_allowed(client, fields, path):
    assert [place for place, _ in await faults(client, **ECHO, **fields)] == [path]


async def test_a_waiting_job_knows_its_place(client):
    jobs = [await submit(client) for _ in range(3)]
    places = [(await client.get(f"/jobs/{job['job_id']}")).json()["queue_position"] for job in jobs]
    assert places == [1, 2, 3]


async def test_the_wait_is_estimated_from_the_jobs_that_ended(client, worker):
    for _ in range(2):
        await submit(client)
        await worker.finish_next(OutcomeKind.COMPLETED, {"message": "hi"})
    job = await submit(client)
    record = (await client.get(f"/jobs/{job['job_id']}")).json()
    assert (record["queue_position"], record["estimated_wait_seconds"]) == (1, 30.0)


async def test_a_job_of_later_has_no_place_yet(client):
    job = await submit(client, delay_seconds=60)
    assert (await client.get(f"/jobs/{job['job_id']}")).json()["queue_position"] is None


# -- webhooks


async def test_a_webhook_is_in_the_record(hooked):
    record = await submit(hooked, webhook=HOOK)
    assert record["webhook"] == HOOK
    assert (await hooked.get(f"/jobs/{record['job_id']}")).json()["webhook"] == HOOK
    assert (await submit(hooked))["webhook"] is None


async def test_a_batch_may_have_webhooks(hooked):
    answer = await hooked.post("/jobs/batch", json={"jobs": [ECHO, {**ECHO, "webhook": HOOK}]})
    assert [record["webhook"] for record in answer.json()["items"]] == [None, HOOK]


async def test_without_secrets_no_webhook_is_accepted(client):
    answer = await client.post("/jobs", json={**ECHO, "webhook": HOOK})
    error = answer.json()
    assert (answer.status_code, error["code"], error["retryable"]) == (422, "webhooks_disabled", False)
    assert "WEBHOOK_SECRETS" in error["hint"]
    assert "python -m shared.webhooks" in error["hint"]
    found = await faults(client, "/jobs/batch", jobs=[ECHO, {**ECHO, "webhook": HOOK}])
    assert found == [("jobs.1.webhook", "webhooks_disabled")]
    assert (await client.get("/jobs")).json()["items"] == []


@pytest.mark.parametrize(
    "url", ["", "example.com", "ftp://example.com/", "https://me@example.com/", "https://a/#b"]
)
async def test_what_is_no_address_of_a_webhook(hooked, url):
    assert await faults(hooked, **ECHO, webhook={"url": url}) == [("webhook.url", "value_error")]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[fd00::1]", "[::ffff:7f00:1]"]
)
async def test_an_address_that_is_not_public_is_refused_at_once(hooked, host):
    assert await faults(hooked, **ECHO, webhook={"url": f"http://{host}:80/"}) == [
        ("webhook.url", "webhook_blocked")
    ]


async def test_an_address_may_be_allowed_though_it_is_not_public(serve, fake_redis):
    client = await serve(fake_redis, webhook_secrets=SECRETS, webhook_allowed_networks="127.0.0.1,fd00::/8")
    for host in ("127.0.0.1", "[fd00::1]", "[::ffff:7f00:1]"):
        assert (await submit(client, webhook={"url": f"http://{host}/"}))["webhook"]
    assert await faults(client, **ECHO, webhook={"url": "http://127.0.0.2/"}) == [
        ("webhook.url", "webhook_blocked")
    ]


async def test_a_retry_keeps_the_webhook(hooked, serve, fake_redis, worker):
    old = await submit(hooked, webhook=HOOK)
    await worker.finish_next(OutcomeKind.COMPLETED, {"message": "hi"})
    assert (await hooked.post(f"/jobs/{old['job_id']}/retry")).json()["webhook"] == HOOK
    without = await serve(fake_redis)
    answer = await without.post(f"/jobs/{old['job_id']}/retry")
    assert (answer.status_code, answer.json()["code"]) == (422, "webhooks_disabled")


# -- idempotency keys


async def test_a_key_makes_one_job(client):
    headers = {"Idempotency-Key": "k 1"}
    first = await client.post("/jobs", json=ECHO, headers=headers)
    again = await client.post("/v1/jobs", json={"params": {"message": "hi"}, "type": "echo"}, headers=headers)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.json()["job_id"]) == (202, first.json()["job_id"])
    assert again.headers["location"] == f"/v1/jobs/{first.json()['job_id']}"


@pytest.mark.parametrize(
    "other",
    [{"params": {"message": "ho"}}, {"labels": {"a": "b"}}, {"delay_seconds": 5}, {"webhook": HOOK}],
)
async def test_a_key_with_another_body_is_a_conflict(hooked, other):
    client = hooked
    headers = {"Idempotency-Key": "k"}
    await submit(client, headers)
    answer = await client.post("/jobs", json={**ECHO, **other}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb", "é".encode()])
async def test_a_key_that_is_not_allowed(client, key):
    answer = await client.post("/jobs", json=ECHO, headers=[(b"Idempotency-Key", key)])
    assert (answer.status_code, answer.json()["details"][0]["path"]) == (422, "Idempotency-Key")


# -- batches


async def test_a_batch_answers_in_its_order(client):
    jobs = [{**ECHO, "params": {"message": n}} for n in range(5)]
    answer = await client.post("/jobs/batch", json={"jobs": jobs})
    assert answer.status_code == 202
    assert [record["params"]["message"] for record in answer.json()["items"]] == list(range(5))


async def test_a_batch_with_faults_names_them_and_accepts_nothing(client):
    jobs = [ECHO, {"type": "sleep", "params": {"seconds": -1}}, {"type": "nope", "params": {}}, 5]
    found = await faults(client, "/jobs/batch", jobs=jobs)
    assert [path for path, _ in found] == ["jobs.1.params.seconds", "jobs.2.type", "jobs.3"]
    assert (await client.get("/jobs")).json()["items"] == []


@pytest.mark.parametrize(
    "body", [{"jobs": []}, {"jobs": [ECHO] * 1001}, {"jobs": ECHO}, {}, {"jobs": [ECHO], "x": 1}]
)
async def test_what_is_no_batch(client, body):
    assert [path for path, _ in await faults(client, "/jobs/batch", **body)] == ["jobs"]


async def test_a_batch_is_sent_twice_and_accepted_once(client):
    send = {"json": {"jobs": [ECHO, ECHO]}, "headers": {"Idempotency-Key": "k"}}
    first, again = [await client.post("/jobs/batch", **send) for _ in range(2)]
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await client.get("/jobs")).json()["items"]) == 2


async def test_a_batch_may_have_many_values(client):
    jobs = [{**ECHO, "params": {"message": [0] * 20}}] * 900
    assert (await client.post("/jobs/batch", json={"jobs": jobs})).status_code == 202


# -- retries by hand


async def test_a_finished_job_is_done_again(client, worker):
    old = await submit(client, labels={"a": "b"})
    await worker.finish_next(OutcomeKind.COMPLETED, {"message": "hi"})
    answer = await client.post(f"/v1/jobs/{old['job_id']}/retry")
    new = answer.json()
    assert (answer.status_code, new["state"], new["retry_of"]) == (202, "pending", old["job_id"])
    assert (new["type"], new["params"], new["labels"]) == ("echo", old["params"], {"a": "b"})
    assert answer.headers["location"] == f"/v1/jobs/{new['job_id']}"
    assert (await client.get(f"/jobs/{old['job_id']}")).json()["state"] == "completed"


async def test_a_retry_with_a_key_makes_one_job(client, worker):
    old = await submit(client)
    await worker.finish_next(OutcomeKind.COMPLETED, {"message": "hi"})
    headers = {"Idempotency-Key": "again"}
    answers = [await client.post(f"/jobs/{old['job_id']}/retry", headers=headers) for _ in range(2)]
    assert answers[0].json()["job_id"] == answers[1].json()["job_id"]


async def test_an_unfinished_job_can_not_be_done_again(client):
    job = await submit(client)
    answer = await client.post(f"/jobs/{job['job_id']}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_finished")
    assert (await client.post("/jobs/nope/retry")).status_code == 404


# -- back-pressure


async def test_a_full_queue_says_when_to_come_back(serve, fake_redis, worker):
    client = await serve(fake_redis, queue_max_waiting=1000)
    await client.post("/jobs/batch", json={"jobs": [ECHO] * 1000})
    answer = await client.post("/jobs", json=ECHO)
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
    assert answer.headers["retry-after"] == "60"
    claims = await worker.claim(slots=600)
    await worker.step(*(Finished(claim, Outcome(OutcomeKind.COMPLETED, b"1")) for claim in claims))
    other = await serve(fake_redis, queue_max_waiting=400)
    assert (await other.post("/jobs", json=ECHO)).headers["retry-after"] == "2"  # 20 jobs at 10 a second


async def test_unfinished_jobs_are_looked_at_as_often_as_their_type_deserves(client, worker, fake_redis):
    job = await submit(client)
    assert (await client.get(f"/jobs/{job['job_id']}")).headers["retry-after"] == "1"
    await worker.finish_next(OutcomeKind.COMPLETED, 1)
    record = f"jobs:record:{job['job_id']}"
    finished = int(await fake_redis.hget(record, "finished_at"))
    await fake_redis.hset(record, "started_at", finished - 20_000)
    await client.get(f"/jobs/{job['job_id']}")
    assert (await client.post("/jobs", json=ECHO)).headers["retry-after"] == "10"
    assert (await client.post("/jobs", json={"type": "sleep", "params": {"seconds": 1}})).headers[
        "retry-after"
    ] == "1"
