"""Health, readiness, the server, its job types, and its OpenAPI document."""

import re

import obstore
import pytest
from obstore.exceptions import GenericError

from api.error_envelope import ErrorEnvelope
from api.reference.operations import OPERATIONS
from shared.job_type_loader import load_job_types
from shared.record import JobRecord

BOTH = pytest.mark.parametrize("prefix", ["", "/v1"])
ECHO = {"type": "echo", "params": {"message": "hi"}}


@BOTH
async def test_the_process_is_alive(client, prefix):
    answer = await client.get(f"{prefix}/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_the_process_is_alive_without_redis(lonely_client):
    assert (await lonely_client.get("/healthz")).status_code == 200


@BOTH
async def test_ready_without_a_worker_is_a_warning(client, prefix):
    answer = await client.get(f"{prefix}/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "warn")
    assert answer.json()["checks"]["redis"] == "pass"
    assert answer.json()["checks"]["workers"].startswith("warn")


async def test_ready_with_a_worker_passes(client, worker):
    await worker.beat(running=2)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "pass")
    assert "1 alive" in answer.json()["checks"]["workers"]


async def test_a_full_file_store_is_a_warning(client, worker, files, monkeypatch):
    await worker.beat(running=2)

    def full(*_, **__):
        raise GenericError("No space left on device (os error 28)")

    with monkeypatch.context() as disk:
        disk.setattr(obstore, "put", full)
        answer = await client.post("/files", content=b"1")
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert answer.headers["retry-after"] == "60"
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "warn")
        assert "make room" in answer.json()["checks"]["files"]
    assert (await client.get("/readyz")).json()["status"] == "pass"


async def test_without_redis_the_api_is_not_ready(lonely_client):
    answer = await lonely_client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "fail")
    assert answer.json()["checks"]["redis"].startswith("fail")


@BOTH
async def test_the_server_shows_its_version_types_and_limits(client, prefix):
    info = (await client.get(f"{prefix}/server/info")).json()
    assert info["name"] == "job-server"
    assert re.fullmatch(r"\d+\.\d+\.\d+", info["version"])
    assert info["started_at"].endswith("Z")
    assert 0 <= info["uptime_seconds"] < 60
    assert info["job_types"] == list(load_job_types())
    assert info["job_type_packages"] == {"job_types": list(load_job_types())}
    assert info["queues"].keys() == {"default", "embed", "identify_file"}
    assert all(queue == {"waiting": 0, "running": 0} for queue in info["queues"].values())
    assert info["jobs"] == dict.fromkeys(["pending", "running", "completed", "failed", "cancelled"], 0)
    assert info["workers"] == []
    assert info["webhooks"] == {"waiting": 0, "running": 0}
    assert info["limits"] == {
        "max_body_bytes": 1048576,
        "max_file_bytes": 1073741824,
        "max_depth": 32,
        "max_values": 10000,
        "queue_max_waiting": 100000,
    }


async def test_the_server_shows_its_queues_and_workers(client, worker):
    await worker.beat(running=2)
    for _ in range(3):
        await client.post("/jobs", json=ECHO)
    await worker.claim_one()
    info = (await client.get("/server/info")).json()
    assert info["queues"]["default"] == {"waiting": 2, "running": 1}
    assert (info["jobs"]["pending"], info["jobs"]["running"]) == (2, 1)
    shown = {
        "worker_id": "w", "host": "host", "pid": 7, "queues": ["default", "other"], "slots": 3, "running": 2,
        "models": [], "started_at": "2026-01-01T00:00:00.250000Z",
    }  # fmt: skip
    assert info["workers"] == [shown]


@BOTH
async def test_job_types_are_described(client, prefix):
    items = (await client.get(f"{prefix}/job-types")).json()["items"]
    assert [item["name"] for item in items] == list(load_job_types())
    one = (await client.get(f"{prefix}/job-types/word_count")).json()
    assert one in items
    assert one["params"]["required"] == ["text"]
    assert set(one["result"]["properties"]) == {"lines", "words", "unique", "top"}
    assert (one["queue"], one["timeout"], one["max_attempts"]) == ("default", 60, 3)


async def test_an_unknown_job_type_is_not_found(client):
    answer = await client.get("/job-types/ehco")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def description(client):
    return (await client.get("/openapi.json")).json()


async def test_the_versioned_paths_are_described(client):
    paths = (await description(client))["paths"]
    assert {"/v1/jobs", "/v1/jobs/{job_id}", "/v1/healthz", "/v1/readyz", "/v1/server/info"} <= set(paths)
    assert all(path.startswith("/v1/") for path in paths)


ENDLESS = {"/v1/events"}  # streams that end with their readers alone


async def test_every_described_path_is_served_bare_and_versioned_with_a_described_status(client):
    served = 0
    for path, operations in (await description(client))["paths"].items():
        address = path.format(job_id="x", file_id="x", name="echo", host="x") if "{" in path else path
        if path in ENDLESS:
            address += "?state=none"  # a filter that is refused
        for method, operation in operations.items():
            body = ECHO if method == "post" else None
            versioned = await client.request(method, address, json=body)
            bare = await client.request(method, address.removeprefix("/v1"), json=body)
            assert versioned.status_code == bare.status_code, (method, path)
            assert str(versioned.status_code) in operation["responses"], (method, path)
            served += 1
    assert served == len(OPERATIONS)


async def test_a_submission_is_a_union_told_apart_by_type(client):
    told = await description(client)
    body = told["paths"]["/v1/jobs"]["post"]["requestBody"]
    media = body["content"]["application/json"]
    schemas = told["components"]["schemas"]
    union = schemas[media["schema"]["$ref"].rpartition("/")[2]]
    assert union["discriminator"]["propertyName"] == "type"
    assert list(union["discriminator"]["mapping"]) == list(load_job_types())
    for reference in union["discriminator"]["mapping"].values():
        assert reference.rpartition("/")[2] in schemas
    assert set(media["examples"]) == set(load_job_types())


async def test_every_example_of_a_submission_is_accepted(client):
    post = (await description(client))["paths"]["/v1/jobs"]["post"]
    examples = post["requestBody"]["content"]["application/json"]["examples"]
    answers = {
        name: await client.post("/v1/jobs", json=example["value"]) for name, example in examples.items()
    }
    unknown = {name for name, answer in answers.items() if answer.status_code != 202}
    assert unknown == {name for name, example in examples.items() if "file" in example["value"]["params"]}
    assert all(answers[name].json()["code"] == "unknown_file" for name in unknown)
    assert len(unknown) < len(answers)


async def test_every_documented_error_has_an_example_that_fits(client):
    seen = set()
    for operations in (await description(client))["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                media = answer.get("content", {}).get("application/json", {})
                if status < "400" or "Readiness" in str(media.get("schema")):
                    continue
                assert media["schema"] == {"$ref": "#/components/schemas/ErrorEnvelope"}, operation["summary"]
                for code, example in media["examples"].items():
                    assert ErrorEnvelope.model_validate(example["value"]).code == code
                    assert f"`{code}`" in answer["description"]
                    seen.add(code)
    expected = {
        "malformed_json", "not_found", "job_not_found", "job_already_finished", "payload_too_large",
        "unsupported_media_type", "invalid_request", "unknown_job_type", "queue_unavailable", "queue_full",
        "job_not_finished", "job_expired", "idempotency_conflict", "webhooks_disabled", "webhook_not_found",
        "file_not_found", "file_in_use", "unknown_file",
        "artifact_not_found", "range_not_satisfiable", "storage_unavailable", "storage_full", "server_busy",
        "invalid_host", "misdirected_request", "cross_site_request", "precondition_failed", "request_timeout",
        "too_many_at_once", "backlog_full", "quota_reached", "forbidden",
        "embeddings_late", "embeddings_failed",
    }  # fmt: skip
    assert seen == expected


async def test_the_example_of_a_record_fits(client):
    (example,) = (await description(client))["components"]["schemas"]["JobRecord"]["examples"]
    JobRecord.model_validate(example)


async def test_the_reference_needs_no_internet(client):
    page = await client.get("/docs")
    assert page.status_code == 200
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//(?!jobs\.localhost)""", page.text)
    for path in re.findall(r"""(?:src|href)=["'](/[^"']+)""", page.text):
        assert (await client.get(path)).status_code == 200, path
