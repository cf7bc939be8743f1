"""Jobs over HTTP: submit, read, cancel."""

import asyncio
import time
from uuid import UUID

import orjson
import pytest

from shared.job_type_loader import load_job_types
from shared.record import JobRecord
from shared.store import redis_keys
from shared.store.job_leases import OutcomeKind
from shared.traces.context import TraceContext

ECHO = {"type": "echo", "params": {"message": "hi"}}
ERROR = {"code": "e", "message": "m", "hint": "h", "retryable": False, "attempt": 1}
BOTH = pytest.mark.parametrize("prefix", ["", "/v1"])


@BOTH
async def test_a_job_is_accepted(client, prefix, fake_redis):
    answer = await client.post(f"{prefix}/jobs", json=ECHO)
    assert answer.status_code == 202
    record = answer.json()
    JobRecord.model_validate(record)
    assert (record["state"], record["done"], record["version"]) == ("pending", False, 1)
    assert (record["type"], record["params"], record["attempt"]) == ("echo", {"message": "hi"}, 0)
    assert answer.headers["location"] == f"{prefix}/jobs/{record['job_id']}"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/json"
    read = await client.get(answer.headers["location"])
    assert (read.status_code, read.json()) == (200, record | {"queue_position": 1})
    assert await fake_redis.zscore(redis_keys.QUEUE + "default", record["job_id"])


async def test_ids_are_ordered_by_time(client):
    answers = [await client.post("/jobs", json=ECHO) for _ in range(5)]
    ids = [answer.json()["job_id"] for answer in answers]
    assert ids == sorted(ids)
    assert all(UUID(job_id).version == 7 for job_id in ids)


async def test_defaults_of_params_are_filled_in(client):
    answer = await client.post("/jobs", json={"type": "word_count", "params": {"text": "a"}})
    assert answer.json()["params"] == {"text": "a", "top": 10}


@pytest.mark.parametrize("name", load_job_types())
async def test_every_example_is_accepted(client, name):
    job_type = load_job_types()[name]
    params = dict(job_type.example)
    if "file" in params:
        params["file"] = (await client.post("/files", content=b"any")).json()["file_id"]
    answer = await client.post("/jobs", json={"type": name, "params": params})
    assert answer.status_code == 202
    assert answer.json()["max_attempts"] == job_type.max_attempts


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "APPLICATION/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/json; profile=x; charset=utf-8",
        "application/json; charset=utf-8; profile=x",
    ],
)
async def test_json_may_be_declared_in_several_ways(client, content_type):
    answer = await client.post("/jobs", content=orjson.dumps(ECHO), headers={"Content-Type": content_type})
    assert answer.status_code == 202


async def test_any_text_comes_back_as_it_was_sent(client, worker):
    message = {"ü€😀\u2028": ["\x01", "</script>", -(2**63), 2**63 - 1, 1e-7, None]}
    answer = await client.post("/jobs", json={"type": "echo", "params": {"message": message}})
    assert answer.json()["params"]["message"] == message
    read = await client.get(answer.headers["location"])
    assert read.json()["params"]["message"] == message


@BOTH
async def test_a_job_is_followed_to_its_end(client, prefix, worker):
    location = (await client.post(f"{prefix}/jobs", json=ECHO)).headers["location"]
    await worker.finish_next(OutcomeKind.COMPLETED, {"message": "hi"})
    answer = await client.get(location)
    record = answer.json()
    assert (answer.status_code, record["state"], record["done"]) == (200, "completed", True)
    assert (record["result"], record["attempt"], record["version"]) == ({"message": "hi"}, 1, 3)
    assert all(
        record[name].endswith("Z") for name in ("created_at", "started_at", "finished_at", "expires_at")
    )
    assert "retry-after" not in answer.headers


async def test_a_running_job_says_when_to_look_again(client, worker):
    location = (await client.post("/jobs", json=ECHO)).headers["location"]
    await worker.claim_one()
    answer = await client.get(location)
    assert answer.json()["state"] == "running"
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_failed_job_is_no_http_error(client, worker):
    location = (await client.post("/jobs", json=ECHO)).headers["location"]
    await worker.finish_next(OutcomeKind.FAILED, ERROR)
    answer = await client.get(location)
    assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert answer.json()["errors"][0]["message"] == "m"


@BOTH
async def test_a_waiting_job_is_cancelled(client, prefix):
    location = (await client.post(f"{prefix}/jobs", json=ECHO)).headers["location"]
    for _ in range(2):
        answer = await client.delete(location)
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        assert answer.json()["version"] == 2


async def test_a_running_job_is_being_cancelled(client, worker):
    location = (await client.post("/jobs", json=ECHO)).headers["location"]
    await worker.claim_one()
    answer = await client.delete(location)
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    assert answer.json()["cancel_requested"]
    assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    ("kind", "body", "state"),
    [(OutcomeKind.COMPLETED, 1, "completed"), (OutcomeKind.FAILED, ERROR, "failed")],
)
async def test_a_finished_job_is_not_cancelled(client, worker, kind, body, state):
    location = (await client.post("/jobs", json=ECHO)).headers["location"]
    await worker.finish_next(kind, body)
    answer = await client.delete(location)
    assert (answer.status_code, answer.json()["code"]) == (409, "job_already_finished")
    assert state in answer.json()["message"]


async def test_the_request_id_follows_the_job(client, worker):
    await client.post("/jobs", json=ECHO, headers={"X-Request-ID": "from-the-caller"})
    assert (await worker.claim_one()).request_id == "from-the-caller"


TRACE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=1",
}


async def test_the_trace_of_a_request_follows_its_jobs(client, worker):
    answer = await client.post("/jobs", json=ECHO, headers=TRACE)
    claim = await worker.claim_one()
    assert TraceContext.of_stored(claim.trace).headers == TRACE
    assert await worker.finish(claim, OutcomeKind.COMPLETED, b"1")
    await client.post(f"{answer.headers['location']}/retry")
    assert (await worker.claim_one()).trace == b""
    await client.post(f"{answer.headers['location']}/retry", headers=TRACE)
    assert TraceContext.of_stored((await worker.claim_one()).trace).headers == TRACE
    await client.post("/jobs/batch", json={"jobs": [ECHO, ECHO]}, headers=TRACE)
    claims = await worker.claim(2)
    assert [TraceContext.of_stored(claim.trace).headers for claim in claims] == [TRACE, TRACE]


async def test_an_invalid_trace_is_ignored(client, worker):
    answer = await client.post("/jobs", json=ECHO, headers={"traceparent": "00-1-2-3"})
    assert answer.status_code == 202
    assert (await worker.claim_one()).trace == b""


async def test_concurrent_submits_each_get_their_own_job(client, worker):
    bodies = [{"type": "echo", "params": {"message": n}} for n in range(50)]
    answers = await asyncio.gather(*(client.post("/jobs", json=body) for body in bodies))
    assert [answer.json()["params"]["message"] for answer in answers] == list(range(50))
    assert len({answer.json()["job_id"] for answer in answers}) == 50


async def test_a_full_queue_asks_to_come_back(serve, fake_redis):
    client = await serve(fake_redis, queue_max_waiting=1)
    assert (await client.post("/jobs", json=ECHO)).status_code == 202
    answer = await client.post("/jobs", json=ECHO)
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (
        503,
        "queue_full",
        True,
    )
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/jobs", ECHO), ("GET", "/jobs/x", None), ("DELETE", "/v1/jobs/x", None),
     ("GET", "/server/info", None)],
)  # fmt: skip
async def test_without_redis_the_answer_comes_soon(lonely_client, method, path, body):
    started = time.monotonic()
    answer = await lonely_client.request(method, path, json=body)
    assert time.monotonic() - started < 2
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
    assert answer.json()["retryable"]
    assert int(answer.headers["retry-after"]) >= 1
