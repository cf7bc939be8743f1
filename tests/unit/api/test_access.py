"""API keys and their scopes; without a key, the reference and the health checks alone."""

import re
from hashlib import sha256

import pytest
from starlette.requests import Request
from starlette.responses import Response

from api.error_envelope import ErrorEnvelope
from api.keys.api_key import read_keys
from api.keys.key_set import KeySet
from api.main import create_app
from api.middleware.auth import is_open
from api.settings import ApiSettings
from tests.unit.api.callers import ECHO, KEYS, as_caller, refused

CHALLENGE = "Bearer"
RATE_HEADERS = ("ratelimit", "ratelimit-policy")


@pytest.fixture
async def closed(serve, fake_redis):
    """A client of an API that needs a key; the client sends none by itself."""
    return await serve(fake_redis, api_keys=KEYS)


# -- keys


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_without_a_key_nothing_is_done(closed, prefix, fake_redis):
    answer = await closed.post(f"{prefix}/jobs", json=ECHO)
    refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == CHALLENGE
    assert await fake_redis.keys() in ([], [b"jobs:upkeep"])


@pytest.mark.parametrize("name", ["ann", "last"])
@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("Authorization", "Bearer {}"), ("authorization", "bearer {}"), ("AUTHORIZATION", "BEARER  {} "),
        ("X-API-Key", "{}"), ("x-api-key", "{}"),
    ],
)  # fmt: skip
async def test_a_key_is_taken_from_either_header(closed, name, header, form):
    answer = await closed.post("/jobs", json=ECHO, headers={header: form.format(f"key-of-{name}")})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ""}, {"X-API-Key": "key-of-nobody"}, {"X-API-Key": "ann"}, {"X-API-Key": "key-of-ann2"},
        {"X-API-Key": sha256(b"key-of-ann").hexdigest()}, {"X-API-Key": "Bearer key-of-ann"},
        {"X-API-Key": b"\xff\x00"}, {"X-API-Key": "KEY-OF-ANN"},
        {"Authorization": "key-of-ann"}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "},
        {"Authorization": "Basic key-of-ann"}, {"Authorization": "Bearerkey-of-ann"},
        {"Authorization": "Bearer key-of-nobody"}, {"Cookie": "key-of-ann"},
    ],
)  # fmt: skip
async def test_another_key_or_another_form_is_not_let_in(closed, headers):
    answer = await closed.get("/jobs/x", headers=headers)
    refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == CHALLENGE


async def test_the_first_key_counts(closed):
    two = [("X-API-Key", "key-of-ann"), ("Authorization", "Bearer key-of-nobody")]
    assert (await closed.get("/job-types", headers=two)).status_code == 200
    assert (await closed.get("/job-types", headers=two[::-1])).status_code == 401


async def test_other_credentials_leave_the_key_its_header(closed):
    headers = {"Authorization": "Basic dTpw", "X-API-Key": "key-of-ann"}
    assert (await closed.get("/job-types", headers=headers)).status_code == 200


async def test_keys_are_looked_up_by_their_digest_and_never_compared_themselves():
    """So that the time of a refusal depends on a digest, which a caller without the key can't choose."""
    known = KeySet(read_keys(KEYS))._by_digest
    assert set(known) == {
        sha256(f"key-of-{name}".encode()).digest()
        for name in ("ann", "reader", "writer", "own-reader", "own-writer", "last")
    }


async def test_a_refusal_does_not_tell_which_names_there_are(closed):
    texts = []
    for key in ("ann", "key-of-nobody"):
        envelope = refused(await closed.get("/jobs/x", headers={"X-API-Key": key}), 401, "unauthorized")
        texts.append((envelope.message, envelope.hint, envelope.details))
    assert texts[0] == texts[1]


async def test_a_refused_body_is_not_read(closed):
    read = []

    async def pieces():
        read.append(1)
        yield b"{}"

    refused(await closed.post("/jobs", content=pieces()), 401, "unauthorized")
    assert read == []


async def test_neither_key_nor_digest_is_ever_logged(closed, log_tape):
    for name in ("ann", "nobody"):
        await closed.post("/jobs", json=ECHO, headers=as_caller(name))
    assert len(log_tape.lines("request")) == 2
    assert "key-of-" not in log_tape.text()
    assert sha256(b"key-of-ann").hexdigest() not in log_tape.text()


# -- scopes


@pytest.mark.parametrize(
    ("method", "scope"),
    [
        ("GET", "read"), ("HEAD", "read"), ("OPTIONS", "read"), ("POST", "write"), ("DELETE", "write"),
        ("PUT", "write"), ("PATCH", "write"), ("BREW", "write"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        ("ann", "read write"), ("reader", "read"), ("writer", "write"),
        ("own-reader", "read"), ("own-writer", "write"),
    ],
)  # fmt: skip
async def test_a_method_needs_its_scope_and_no_other(closed, method, scope, name, scopes):
    answer = await closed.request(method, "/jobs/x", headers=as_caller(name))
    if scope in scopes.split():
        assert answer.status_code in (404, 405)
        return
    assert answer.status_code == 403
    if method != "HEAD":
        assert refused(answer, 403, "forbidden").message.startswith(
            f"{method} needs the scope '{scope}', or '{scope}:own', "
        )


async def test_a_writer_submits_and_cancels_and_reads_nothing(closed):
    writer = as_caller("writer")
    job = (await closed.post("/jobs", json=ECHO, headers=writer)).json()["job_id"]
    assert (await closed.delete(f"/jobs/{job}", headers=writer)).status_code == 200
    refused(await closed.get(f"/jobs/{job}", headers=writer), 403, "forbidden")


async def test_a_reader_changes_nothing(closed):
    job = (await closed.post("/jobs", json=ECHO, headers=as_caller("ann"))).json()["job_id"]
    refused(await closed.delete(f"/jobs/{job}", headers=as_caller("reader")), 403, "forbidden")
    record = (await closed.get(f"/jobs/{job}", headers=as_caller("reader"))).json()
    assert record["state"] == "pending"


# -- open and closed paths


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/v1/healthz", "/v1/readyz", "/openapi.json", "/docs"]
)
async def test_health_and_the_reference_need_no_key(closed, path):
    assert (await closed.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/docs", "/v1/openapi.json"])
async def test_other_open_paths_are_there_or_not(closed, path):
    assert (await closed.get(path)).status_code in (200, 404)


async def test_all_that_the_reference_loads_needs_no_key(closed):
    page = (await closed.get("/docs")).text
    paths = re.findall(r"""(?:src|href)=["'](/[^"']+)""", page)
    assert len(paths) >= 3
    for path in paths:
        assert (await closed.get(path)).status_code == 200, path


@pytest.mark.parametrize(
    "path",
    [
        "/jobs", "/v1/jobs", "/jobs/x", "/job-types", "/v1/job-types/echo", "/server/info", "/v1/server/info",
        "/metrics", "/v1/metrics", "/nothing", "/v2/healthz", "/v1/v1/healthz", "/healthz/",
        "/healthzx", "/v1healthz", "/docs/x", "/static-offline-docs", "/HEALTHZ",
    ],
)  # fmt: skip
async def test_every_other_path_is_closed_and_does_not_tell_whether_it_is_there(closed, path):
    refused(await closed.get(path), 401, "unauthorized")


@pytest.mark.parametrize("path", ["//healthz", "/healthz/../jobs", "/healthz\n", "/v1/static-offline-docs/x"])
def test_a_path_that_only_looks_like_an_open_one_is_closed(path):
    assert not is_open(path)


@pytest.mark.parametrize("dots", ["%2e%2e", "..%2f", "%2e%2e%2f%2e%2e"])
async def test_no_closed_path_is_reached_through_an_open_folder(closed, dots):
    refused(await closed.get(f"/static-offline-docs/{dots}/job-types"), 404, "not_found")


# -- the caller


async def test_routes_and_log_lines_know_the_caller(fake_redis, serve, log_tape):
    app = create_app(ApiSettings(api_keys=KEYS), redis=fake_redis)

    @app.get("/caller")
    async def tell(request: Request) -> Response:
        return Response(request.scope.get("caller"))

    client = await serve(fake_redis, app=app)
    assert (await client.get("/caller", headers=as_caller("reader"))).text == "reader"
    await client.post("/jobs", json=ECHO, headers=as_caller("reader"))
    await client.get("/healthz", headers=as_caller("reader"))
    await client.get("/caller")
    lines = [(line["status"], line.get("caller")) for line in log_tape.lines("request")]
    assert lines == [(200, "reader"), (403, "reader"), (200, None), (401, None)]


async def test_without_keys_no_request_needs_one(client, fake_redis):
    answer = await client.post("/jobs", json=ECHO, headers=as_caller("nobody"))
    assert answer.status_code == 202
    assert not any(field in answer.headers for field in RATE_HEADERS)


# -- the description


async def test_the_document_shows_how_to_send_a_key_and_where(closed):
    told = (await closed.get("/openapi.json")).json()
    assert told["components"]["securitySchemes"] == {
        "bearerAuth": {"type": "http", "scheme": "bearer"},
        "apiKeyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "streamToken": {
            "type": "apiKey",
            "in": "query",
            "name": "token",
            "description": "Of one job, from `POST /v1/jobs/{job_id}/stream-token`.",
        },
    }
    needs_key = {
        path
        for path, methods in told["paths"].items()
        for operation in methods.values()
        if operation.get("security", [])[:2] == [{"bearerAuth": []}, {"apiKeyHeader": []}]
    }
    assert set(told["paths"]) - needs_key == {"/v1/healthz", "/v1/readyz"}
    for path in ("/v1/healthz", "/v1/readyz"):
        assert told["paths"][path]["get"]["security"] == []


async def test_the_document_shows_the_errors_without_a_key(closed):
    for path, methods in (await closed.get("/openapi.json")).json()["paths"].items():
        for operation in methods.values():
            for status, code in {"401": "unauthorized", "403": "forbidden", "429": "rate_limited"}.items():
                if path in ("/v1/healthz", "/v1/readyz"):
                    assert status not in operation["responses"]
                    continue
                answer = operation["responses"][status]
                media = answer["content"]["application/json"]
                assert media["schema"] == {"$ref": "#/components/schemas/ErrorEnvelope"}
                assert ErrorEnvelope.model_validate(media["examples"][code]["value"]).code == code


async def test_an_open_server_describes_no_keys(client):
    told = await client.get("/openapi.json")
    assert "securitySchemes" not in told.text
    assert "unauthorized" not in told.text
