"""Errors over HTTP: one form, a status of each, and no secrets."""

import asyncio

import orjson
import pytest

from api import errors, main
from api.error_envelope import ErrorEnvelope
from api.routes import job_types
from api.settings import ApiSettings
from shared.errors import JobFailure, JobServerError
from shared.job_type_loader import load_job_types
from shared.store.file_records import FileRecords
from shared.store.job_queue import JobQueue

ECHO = {"type": "echo", "params": {"message": "hi"}}
JSON = {"Content-Type": "application/json"}
TYPES = ", ".join(load_job_types())


def refused(answer, status: int, code: str) -> dict:
    """The envelope of an answer that is this error."""
    envelope = answer.json()
    assert (answer.status_code, envelope["code"]) == (status, code)
    assert list(envelope) == list(ErrorEnvelope.model_fields)
    ErrorEnvelope.model_validate(envelope)
    assert envelope["message"]
    assert envelope["hint"]
    assert envelope["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    return envelope


def subclasses(kind: type) -> set[type]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_every_error_that_a_request_may_meet_has_a_status():
    modules = ("shared.", "api.")
    known = {kind for kind in subclasses(JobServerError) if kind.__module__.startswith(modules)}
    assert known - subclasses(JobFailure) == set(errors.STATUS)


def test_codes_are_unique_and_retryable_errors_say_when():
    assert len({kind.code for kind in errors.STATUS}) == len(errors.STATUS)
    assert all(kind.retryable == (kind.retry_after is not None) for kind in errors.STATUS)


async def post(client, body: bytes, **headers: str):
    return await client.post("/jobs", content=body, headers=JSON | headers)


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/nothing", "/jobs/", "/v2/jobs", "/%00", "/%ff", "/jobs/a/b"]
)
async def test_an_unknown_path_is_not_found(client, path):
    refused(await client.get(path), 404, "not_found")


@pytest.mark.parametrize(("path", "named"), [("/jobs/", True), ("/v1//jobs", True), ("/nothing", False)])
async def test_a_slash_too_many_is_named(client, path, named):
    assert ("slash" in refused(await client.get(path), 404, "not_found")["hint"]) is named


@pytest.mark.parametrize("job_id", ["nobody", "%00", "%ED%A0%80", "ü", "x" * 2000, "a:b", "*", "{}"])
async def test_an_unknown_job_is_not_found(client, job_id):
    refused(await client.get(f"/jobs/{job_id}"), 404, "job_not_found")
    refused(await client.delete(f"/v1/jobs/{job_id}"), 404, "job_not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/jobs/x", "DELETE, GET, HEAD"), ("POST", "/v1/jobs/x", "DELETE, GET, HEAD"),
        ("DELETE", "/jobs", "GET, HEAD, POST"), ("OPTIONS", "/jobs", "GET, HEAD, POST"),
        ("PUT", "/v1/jobs", "GET, HEAD, POST"), ("POST", "/healthz", "GET, HEAD"),
        ("PATCH", "/v1/server/info", "GET, HEAD"), ("PUT", "/files", "POST"),
    ],
)  # fmt: skip
async def test_a_wrong_method_is_refused_with_the_allowed_ones(client, method, path, allowed):
    answer = await client.request(method, path)
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/jobs", "/v1/jobs"])
async def test_a_large_body_is_refused_by_its_length(path, serve, fake_redis):
    client = await serve(fake_redis, api_max_body_bytes=1024)
    answer = await client.post(path, content=b"x" * 1025, headers=JSON)
    refused(answer, 413, "payload_too_large")


async def test_a_body_that_says_it_is_large_is_not_even_read(serve, fake_redis):
    client = await serve(fake_redis, api_max_body_bytes=1024)
    read = []

    async def pieces():
        read.append(1)
        yield b" " * 1025

    answer = await client.post("/jobs", content=pieces(), headers=JSON | {"Content-Length": "1025"})
    refused(answer, 413, "payload_too_large")
    assert read == []


async def test_a_large_body_is_a_request_like_any_other_in_the_log(serve, fake_redis, log_tape):
    client = await serve(fake_redis, api_max_body_bytes=1024)
    await post(client, b"x" * 1025)
    assert [line["status"] for line in log_tape.lines("request")] == [413]
    assert log_tape.lines("request failed") == []


async def test_a_large_body_is_refused_while_it_comes(serve, fake_redis):
    client = await serve(fake_redis, api_max_body_bytes=1024)
    sent = 0

    async def pieces():
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100

    answer = await client.post("/jobs", content=pieces(), headers=JSON)
    refused(answer, 413, "payload_too_large")
    assert sent < 20


@pytest.mark.parametrize(("size", "status"), [(1024, 202), (1025, 413)])
async def test_a_body_of_just_the_size_is_taken(size, status, serve, fake_redis):
    client = await serve(fake_redis, api_max_body_bytes=1024)
    body = orjson.dumps(ECHO).ljust(size)

    async def pieces():
        yield body[:500]
        yield body[500:]

    assert (await client.post("/jobs", content=body, headers=JSON)).status_code == status
    assert (await client.post("/jobs", content=pieces(), headers=JSON)).status_code == status


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=latin-1",
    ],
)
async def test_a_body_that_is_not_declared_as_json_is_refused(client, content_type):
    answer = await client.post("/jobs", content=orjson.dumps(ECHO), headers={"Content-Type": content_type})
    refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    [
        "APPLICATION/JSON",
        'application/json; charset="UTF-8"',
        "application/json;",
        "application/json ; charset = utf-8;",
        'application/json; profile="a;charset=latin-1"',
        "application/json; charset=utf8",
    ],
)
async def test_json_is_declared_in_many_ways(client, content_type):
    answer = await client.post("/jobs", content=orjson.dumps(ECHO), headers={"Content-Type": content_type})
    assert answer.status_code == 202


@pytest.mark.parametrize("name", ["Content-Type", "Idempotency-Key"])
@pytest.mark.parametrize("path", ["/jobs", "/v1/jobs/batch"])
async def test_a_header_that_counts_once_is_refused_twice(client, fake_redis, name, path):
    lines = [*JSON.items(), (name, "application/json")] + [(name, "b")] * (name not in JSON)
    answer = await client.post(path, content=orjson.dumps(ECHO), headers=lines)
    envelope = refused(answer, 422, "invalid_request")
    assert envelope["details"][0]["path"] == name
    assert "once" in envelope["hint"]
    assert await fake_redis.keys("jobs:record:*") == []


async def test_a_stream_begins_at_one_place(client):
    job_id = (await client.post("/jobs", json=ECHO)).json()["job_id"]
    lines = [("Last-Event-ID", "1"), ("Last-Event-ID", "2")]
    answer = await client.get(f"/jobs/{job_id}/events", headers=lines)
    assert refused(answer, 422, "invalid_request")["details"][0]["path"].lower() == "last-event-id"


MALFORMED = [
    b"", b"  ", b"{", b"NaN", b'{"type":"echo","params":{"message":NaN}}', b"\xff", b'"\\ud800"',
    b'{"type":"echo","params":{"message":Infinity}}', b'{"type":"echo","params":{"message":"\\ud800"}}',
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED)
async def test_a_body_that_is_not_json_is_malformed(client, body):
    refused(await post(client, body), 400, "malformed_json")


def echo(message: bytes) -> bytes:
    return b'{"type":"echo","params":{"message":' + message + b"}}"


INVALID = [
    (b"[]", None), (b"5", None), (b"null", None), (b'"x"', None), (b"{}", "type"),
    (b'{"type":"echo"}', "params"),
    (b'{"type":"echo","params":5}', "params"),
    (b'{"type":"echo","params":{}}', "params.message"),
    (b'{"type":"echo","params":{"message":1,"more":2}}', "params.more"),
    (b'{"type":"echo","params":{"message":1},"more":2}', "more"),
    (b'{"type":"echo","type":"echo","params":{"message":1}}', "type"),
    (b'{"type":"echo","params":{"message":1,"message":2}}', "params.message"),
    (b'{"type":"sleep","params":{"seconds":3601}}', "params.seconds"),
    (b'{"type":"sleep","params":{"seconds":"long"}}', "params.seconds"),
    (echo(b'"\\u0000"'), None),
    (echo(b"9223372036854775808"), None),
    (echo(b"-9223372036854775809"), None),
    (echo(b"1e300"), None),
    (echo(b"[" * 33 + b"]" * 33), None),
    (echo(b"[" * 990 + b"]" * 990), None),
    (echo(b"[" + b"1," * 10_000 + b"1]"), None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path"), INVALID, ids=lambda value: str(value)[:40])
async def test_a_body_that_fits_no_job_type_is_invalid(client, body, path):
    details = refused(await post(client, body), 422, "invalid_request")["details"]
    assert details
    assert all(detail["message"] and detail["kind"] for detail in details)
    if path is not None:
        assert [detail["path"] for detail in details] == [path]


async def test_a_body_full_of_faults_lists_some_of_them(client):
    body = {"type": "echo", "params": {"message": 1}} | {f"more{n}": n for n in range(100)}
    assert len(refused(await post(client, orjson.dumps(body)), 422, "invalid_request")["details"]) == 20


@pytest.mark.parametrize("name", ["ehco", "", "Echo", "x" * 1000, "a\nb", "{0}"])
async def test_an_unknown_job_type_is_refused_with_the_known_ones(client, name):
    answer = await client.post("/jobs", json={"type": name, "params": {}})
    assert ", ".join(load_job_types()) in refused(answer, 422, "unknown_job_type")["hint"]


@pytest.mark.parametrize("name", [5, None, True, [], {}, ["echo"], {"echo": 1}])
async def test_a_type_that_is_no_text_is_refused(client, name):
    fault = {"path": "type", "kind": "string_type", "message": f"Must be text: one of {TYPES}."}
    for path, body in (("/jobs", {"type": name, "params": {}}), ("/jobs/batch", {"jobs": [{"type": name}]})):
        details = refused(await client.post(path, json=body), 422, "invalid_request")["details"]
        assert details == [fault | {"path": fault["path"] if path == "/jobs" else "jobs.0.type"}]


@pytest.fixture
def _broken(monkeypatch):
    async def fail(*_, **__):
        raise RuntimeError("the password is s3cret")

    monkeypatch.setattr(JobQueue, "get", fail)


@pytest.fixture(
    params=["/jobs/x", "/jobs", "/server/info", "/job-types", "/files/x", "/jobs/x/logs", "/readyz"]
)
def broken_path(request, monkeypatch):
    """A path whose work fails in a way that nobody expects."""

    def fail(*_, **__):
        raise RuntimeError("the password is s3cret")

    for owner, name in (
        (JobQueue, "get"), (JobQueue, "page"), (JobQueue, "workers"), (JobQueue, "logs"), (JobQueue, "probe"),
        (FileRecords, "get"), (job_types, "_describe"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, fail)
    return request.param


async def test_an_unexpected_error_of_any_route_is_the_envelope(client, broken_path, log_tape):
    answer = await client.get(broken_path)
    envelope = refused(answer, 500, "internal_error")
    assert "s3cret" not in answer.text
    assert answer.headers["x-request-id"] == envelope["request_id"]
    [line] = [line for line in log_tape.lines() if line["event"] == "request failed"]
    assert line["request_id"] == envelope["request_id"]
    assert "the password is s3cret" in line["exception"]


@pytest.mark.usefixtures("_broken")
async def test_a_fault_of_the_server_leaks_nothing_and_is_found_in_the_log(client, log_tape):
    answer = await client.get("/jobs/x")
    envelope = refused(answer, 500, "internal_error")
    assert "s3cret" not in answer.text
    assert "RuntimeError" not in answer.text
    lines = [line for line in log_tape.lines() if line.get("request_id") == envelope["request_id"]]
    assert any("the password is s3cret" in line.get("exception", "") for line in lines)
    assert [line["status"] for line in lines if line["event"] == "request"] == [500]


async def test_an_error_that_ends_a_service_is_logged_at_once(monkeypatch, serve, fake_redis, log_tape):
    async def fail(_: object) -> None:
        raise RuntimeError("unknown")

    monkeypatch.setattr("api.state.Connections.keep_sweeping", fail)
    await serve(fake_redis)
    while not (lines := log_tape.lines("a part of the API failed; start the API again")):
        await asyncio.sleep(0)  # the service runs in a turn of the event loop
    assert [line["level"] for line in lines] == ["critical"]
    assert "unknown" in lines[0]["exception"]


async def test_a_given_client_of_redis_is_not_closed(serve, fake_redis):
    app = main.create_app(ApiSettings(), redis=fake_redis)
    async with app.router.lifespan_context(app):
        pass
    assert await fake_redis.ping()


def test_the_module_has_an_app_and_nothing_else_by_that_way():
    with pytest.raises(AttributeError, match="has no attribute 'application'"):
        _ = main.application
