"""Who has a key may do what its scopes and its limit allow; who has none reads the reference at most."""

import re
import time
from hashlib import sha256

import pytest
from starlette.requests import Request
from starlette.responses import Response

from api.keys.api_key import read_keys
from api.keys.key_set import KeySet
from api.main import create_app
from api.middleware import auth as access
from api.settings import ApiSettings
from shared.errors import ErrorEnvelope
from tests.unit.api.conftest import NOWHERE

ECHO = {"type": "echo", "params": {"message": "hi"}}
CHALLENGE = "Bearer"
RATE_FIELDS = ("ratelimit", "ratelimit-policy")


def entry(name: str, scopes: str = "read+write", rate: int | None = None) -> str:
    """The entry of the key `key-of-NAME`."""
    end = "" if rate is None else f":{rate}"
    return f"{name}:{scopes}:{sha256(f'key-of-{name}'.encode()).hexdigest()}{end}"


def as_caller(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer key-of-{name}"}


def refused(answer, status: int, code: str) -> ErrorEnvelope:
    envelope = ErrorEnvelope.model_validate(answer.json())
    assert (answer.status_code, envelope.code) == (status, code)
    assert envelope.request_id == answer.headers["x-request-id"]
    assert envelope.hint
    return envelope


KEYS = ",".join(
    [
        entry("ann"),
        entry("reader", "read"),
        entry("writer", "write"),
        entry("own-reader", "read:own"),
        entry("own-writer", "write:own"),
        entry("last"),
    ]
)


@pytest.fixture
async def closed(serve, fake_redis):
    """A client of an API that asks for a key; it sends none by itself."""
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
    assert not access.is_open(path)


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


async def test_without_keys_nobody_is_asked(client, fake_redis):
    answer = await client.post("/jobs", json=ECHO, headers=as_caller("nobody"))
    assert answer.status_code == 202
    assert not any(field in answer.headers for field in RATE_FIELDS)


# -- limits


def limits(answer) -> tuple[int, int]:
    """What an answer says of its limit: requests left, seconds until there is one more."""
    left, seconds = re.fullmatch(r'"default";r=(\d+);t=(\d+)', answer.headers["ratelimit"]).groups()
    return int(left), int(seconds)


async def test_a_limited_caller_is_told_its_limit_with_every_answer(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_rate_limit=3)
    ann = as_caller("ann")
    answers = [
        await client.post("/jobs", json=ECHO, headers=ann),
        await client.get("/nothing", headers=ann),
        await client.post("/jobs", content=b"x", headers=ann),
        await client.get("/job-types", headers=ann),
    ]
    assert [answer.status_code for answer in answers] == [202, 404, 415, 429]
    assert [limits(answer)[0] for answer in answers] == [2, 1, 0, 0]
    assert all(18 <= limits(answer)[1] <= 20 for answer in answers)
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=3;w=60'}


async def test_a_caller_above_its_limit_is_told_when_to_come_back(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_rate_limit=1)
    await client.get("/job-types", headers=as_caller("ann"))
    answer = await client.post("/jobs", json=ECHO, headers=as_caller("ann"))
    envelope = refused(answer, 429, "rate_limited")
    assert envelope.retryable
    assert "1 requests a minute" in envelope.message
    assert answer.headers.get_list("retry-after") == [str(limits(answer)[1])]
    assert 58 <= limits(answer)[1] <= 60
    assert await fake_redis.keys("jobs:rate:*") == [b"jobs:rate:ann"]


async def test_callers_have_limits_of_their_own(serve, fake_redis):
    keys = f"{entry('slow', rate=1)},{entry('fast', rate=0)},{entry('plain')}"
    client = await serve(fake_redis, api_keys=keys, api_rate_limit=2)

    async def statuses(name: str) -> list[int]:
        return [(await client.get("/job-types", headers=as_caller(name))).status_code for _ in range(4)]

    assert await statuses("slow") == [200, 429, 429, 429]
    assert await statuses("plain") == [200, 200, 429, 429]
    assert await statuses("fast") == [200] * 4
    assert sorted(await fake_redis.keys("jobs:rate:*")) == [b"jobs:rate:plain", b"jobs:rate:slow"]


async def test_what_is_refused_otherwise_and_what_is_open_is_not_counted(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_rate_limit=2)
    refused(await client.get("/jobs/x"), 401, "unauthorized")
    refused(await client.post("/jobs", json=ECHO, headers=as_caller("reader")), 403, "forbidden")
    open_answer = await client.get("/healthz", headers=as_caller("reader"))
    assert await fake_redis.keys() == []
    assert not any(field in open_answer.headers for field in RATE_FIELDS)


async def test_without_a_limit_nothing_is_counted(closed, fake_redis):
    answer = await closed.get("/job-types", headers=as_caller("ann"))
    assert not any(field in answer.headers for field in RATE_FIELDS)
    assert await fake_redis.keys() == []


async def test_without_redis_nobody_is_limited_and_the_answer_still_comes_soon(serve):
    client = await serve(None, redis_url=NOWHERE, api_keys=KEYS, api_rate_limit=1)
    started = time.monotonic()
    answer = await client.post("/jobs", json=ECHO, headers=as_caller("ann"))
    assert time.monotonic() - started < 2
    refused(answer, 503, "queue_unavailable")
    assert (await client.get("/job-types", headers=as_caller("ann"))).status_code == 200
    refused(await client.get("/job-types"), 401, "unauthorized")


# -- the description


async def test_the_description_says_how_to_send_a_key_and_where_one_is_needed(closed):
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


async def test_the_description_shows_what_happens_without_a_key(closed):
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
