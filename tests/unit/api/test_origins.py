"""Pages of other origins: they change nothing and read nothing, unless their origin is allowed."""

import pytest

from api.error_envelope import ErrorEnvelope
from api.main import create_app
from api.settings import ApiSettings
from tests.unit.api.callers import KEYS, as_caller
from tests.unit.api.test_hosts import refused

ECHO = {"type": "echo", "params": {"message": "hi"}}
PAGE = "https://app.example"
UNSAFE = [
    ("POST", "/jobs"), ("POST", "/jobs/batch"), ("DELETE", "/jobs/x"), ("POST", "/jobs/x/retry"),
    ("POST", "/jobs/x/webhook/redeliver"), ("POST", "/files"), ("DELETE", "/files/x"), ("PUT", "/jobs/x"),
    ("PATCH", "/jobs/x"), ("POST", "/nothing"),
]  # fmt: skip
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "other"},
    {"Origin": PAGE}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://jobs.localhost:81"},
    {"Origin": "https://jobs.localhost"}, {"Origin": "http://localhost"},
    {"Origin": "http://jobs.localhost.evil.example"},
    {"Origin": "http://jobs.localhost", "Sec-Fetch-Site": "cross-site"},
]  # fmt: skip
OWN = [
    {}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://jobs.localhost"},
    {"Origin": "http://jobs.localhost:80"}, {"Origin": "HTTP://Jobs.localhost"},
    {"Origin": "https://seen.from.outside", "Sec-Fetch-Site": "same-origin"},
]  # fmt: skip


# -- cross-site requests


@pytest.mark.parametrize(("method", "path"), UNSAFE)
async def test_a_foreign_page_sends_nothing_unsafe(client, fake_redis, method, path):
    for headers in FOREIGN:
        for prefix in ("", "/v1"):
            answer = await client.request(method, prefix + path, headers=headers, content=b"{}")
            envelope = refused(answer, 403, "cross_site_request")
            assert "API_CORS_ORIGINS" in envelope.hint
            assert method in envelope.message
    assert await fake_redis.keys() in ([], [b"jobs:upkeep"])


async def test_other_requests_pass(client):
    for headers in OWN:
        assert (await client.post("/jobs", json=ECHO, headers=headers)).status_code == 202, headers
        assert (await client.post("/files", content=b"x", headers=headers)).status_code == 201, headers


async def test_a_foreign_page_may_ask_but_its_browser_keeps_the_answer(client):
    for headers in FOREIGN:
        answer = await client.get("/job-types", headers=headers)
        assert answer.status_code == 200
        assert not any(name.startswith("access-control-") for name in answer.headers)


async def test_with_keys_a_foreign_page_sends_nothing_either(serve, fake_redis):
    closed = await serve(fake_redis, api_keys=KEYS)
    headers = {"Origin": PAGE, **as_caller("ann")}
    refused(await closed.post("/jobs", json=ECHO, headers=headers), 403, "cross_site_request")


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 202), ("203.0.113.9", 403)])
async def test_behind_a_trusted_proxy_the_scheme_is_the_clients(serve, fake_redis, peer, status):
    client = await serve(fake_redis, peer=peer, api_allowed_hosts="jobs.example")
    headers = {"Host": "jobs.example", "X-Forwarded-Proto": "https", "Origin": "https://jobs.example"}
    assert (await client.post("/jobs", json=ECHO, headers=headers)).status_code == status


# -- CORS


@pytest.fixture
async def shared(serve, fake_redis):
    """A client of an API that allows pages of another origin."""
    return await serve(fake_redis, api_cors_origins=f"{PAGE}:443,http://localhost:3000")


def preflight(origin: str = PAGE, method: str = "POST") -> dict[str, str]:
    return {
        "Origin": origin,
        "Sec-Fetch-Site": "cross-site",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }


async def test_without_cors_a_preflight_is_refused_as_any_other_method(client):
    answer = await client.options("/jobs", headers=preflight())
    refused(answer, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/jobs", "/v1/jobs/x", "/files", "/jobs/x/events"])
async def test_a_preflight_is_answered_before_a_key_is_asked_for(serve, fake_redis, path):
    closed = await serve(fake_redis, api_keys=KEYS, api_cors_origins=PAGE)
    answer = await closed.options(path, headers=preflight())
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert {"GET", "POST", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {
        "authorization", "x-api-key", "content-type", "idempotency-key", "prefer", "if-none-match",
        "last-event-id", "x-request-id",
    } <= set(allowed)  # fmt: skip
    assert answer.headers["access-control-max-age"] == "600"
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["x-request-id"]
    assert "access-control-allow-credentials" not in answer.headers


async def test_an_options_request_that_is_no_preflight_is_none(shared):
    answer = await shared.options("/jobs", headers={"Origin": PAGE})
    refused(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://app.example", "https://app.example.evil"]
)
async def test_another_origin_is_allowed_nothing(shared, origin):
    answer = await shared.options("/jobs", headers=preflight(origin))
    refused(answer, 405, "method_not_allowed")
    assert not any(name.startswith("access-control-") for name in answer.headers)
    assert answer.headers["vary"] == "Origin"
    refused(await shared.post("/jobs", json=ECHO, headers={"Origin": origin}), 403, "cross_site_request")


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
async def test_a_page_that_is_allowed_submits_and_reads(shared, origin):
    page = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    answer = await shared.post("/jobs", json=ECHO, headers=page)
    assert answer.status_code == 202
    assert answer.headers["access-control-allow-origin"] == origin
    exposed = set(answer.headers["access-control-expose-headers"].split(", "))
    assert {
        "Location", "ETag", "Retry-After", "RateLimit", "RateLimit-Policy", "Idempotent-Replayed",
        "Preference-Applied", "X-Request-ID", "Content-Disposition", "Content-Range",
    } <= exposed  # fmt: skip
    read = await shared.get(answer.headers["location"], headers=page)
    assert (read.status_code, read.headers["access-control-allow-origin"]) == (200, origin)


async def test_answers_to_others_may_not_be_kept_for_the_page(shared):
    for headers in ({}, {"Origin": "https://evil.example"}):
        vary = (await shared.get("/job-types", headers=headers)).headers["vary"]
        assert "Origin" in vary.split(", ")


async def test_a_page_can_read_every_refusal(serve, fake_redis):
    closed = await serve(fake_redis, api_keys=KEYS, api_cors_origins=PAGE, api_rate_limit=1)
    page = {"Origin": PAGE}
    answers = [
        await closed.get("/job-types", headers=page),
        await closed.get("/nothing", headers={**page, **as_caller("ann")}),
        await closed.get("/nothing", headers={**page, **as_caller("ann")}),
    ]
    assert [answer.status_code for answer in answers] == [401, 404, 429]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == PAGE


async def test_a_page_can_read_that_the_server_failed(serve, fake_redis, monkeypatch):
    app = create_app(ApiSettings(api_cors_origins=PAGE), redis=fake_redis)

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("api.routes.jobs.new_job", fail)
    client = await serve(fake_redis, app=app)
    answer = await client.post("/jobs", json=ECHO, headers={"Origin": PAGE})
    assert ErrorEnvelope.model_validate(answer.json()).code == "internal_error"
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (500, PAGE)


async def test_every_origin_may_be_allowed_where_keys_are_needed(serve, fake_redis):
    closed = await serve(fake_redis, api_keys=KEYS, api_cors_origins="*")
    for origin in (PAGE, "null"):
        assert (await closed.options("/jobs", headers=preflight(origin))).status_code == 204
        answer = await closed.post("/jobs", json=ECHO, headers={"Origin": origin, **as_caller("ann")})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (202, "*")
        assert "vary" not in answer.headers
    assert (await closed.post("/jobs", json=ECHO, headers={"Origin": PAGE})).status_code == 401


# -- headers of every answer


async def test_no_browser_keeps_or_reinterprets_an_answer(client):
    job = (await client.post("/jobs", json=ECHO)).json()["job_id"]
    for path in (f"/jobs/{job}", "/jobs", f"/jobs/{job}/logs", "/server/info", "/nothing", "/openapi.json"):
        answer = await client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers.get_list("cache-control") == ["no-store"], path
