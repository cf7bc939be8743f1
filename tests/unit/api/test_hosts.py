"""The check of the header Host; a rebound DNS name is refused."""

import pytest

from api.error_envelope import ErrorEnvelope
from tests.unit.api.callers import KEYS, as_caller

KNOWN = [
    "localhost", "localhost:8000", "LOCALHOST", "localhost.", "jobs.localhost:8000", "127.0.0.1",
    "127.0.0.1:8000", "127.8.8.8", "[::1]", "[::1]:8000", "192.168.1.7:8000", "203.0.113.7", "[2001:DB8::7]",
    "localhost:",
]  # fmt: skip
UNKNOWN = [
    "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "evillocalhost",
    "api", "jobs.test", "2130706433", "127.1", "0x7f.1",
]  # fmt: skip
MALFORMED = [
    "", " ", ":8000", "a b", "user@localhost", "localhost/", "localhost:http", "localhost:123456", "[::1",
    "[::g]", "[127.0.0.1", "::1", "local\x00host", "lócalhost", "-a.localhost", "a..localhost", ".localhost",
    "localhost, evil.example", "a" * 301, "http://localhost",
]  # fmt: skip


def refused(answer, status: int, code: str) -> ErrorEnvelope:
    envelope = ErrorEnvelope.model_validate(answer.json())
    assert (answer.status_code, envelope.code) == (status, code)
    assert envelope.request_id == answer.headers["x-request-id"]
    assert envelope.hint
    return envelope


async def ask(client, *hosts: str, version: str = "1.1", method: str = "GET", path: str = "/job-types"):
    """The status and the body of an answer to a request with these Host headers."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "http_version": version, "method": method, "path": path, "query_string": b"",
        "scheme": "http", "client": None, "headers": [(b"host", host.encode("latin-1")) for host in hosts],
    }  # fmt: skip
    await client._transport.app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body.decode()


async def test_loopback_names_and_addresses_are_answered(client):
    for host in KNOWN:
        assert (await client.get("/job-types", headers={"Host": host})).status_code == 200, host


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/jobs"), ("POST", "/jobs"), ("GET", "/healthz"), ("GET", "/docs")]
)
async def test_another_name_is_refused_everywhere(client, fake_redis, method, path):
    for host in UNKNOWN:
        answer = await client.request(method, path, headers={"Host": host})
        envelope = refused(answer, 421, "misdirected_request")
        assert host.partition(":")[0] in envelope.message
        assert "API_ALLOWED_HOSTS" in envelope.hint
    assert await fake_redis.keys("jobs:record:*") == []


async def test_a_malformed_host_is_a_bad_request(client):
    for host in MALFORMED:
        status, body = await ask(client, host)
        assert (status, ErrorEnvelope.model_validate_json(body).code) == (400, "invalid_host"), host


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
async def test_there_is_exactly_one_host(client, hosts):
    status, body = await ask(client, *hosts)
    assert (status, ErrorEnvelope.model_validate_json(body).code) == (400, "invalid_host")


async def test_http_1_0_needs_no_host(client):
    assert (await ask(client, version="1.0"))[0] == 200
    assert (await ask(client, "evil.example", version="1.0"))[0] == 421


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        ("jobs.example.com", "jobs.example.com", 200), ("jobs.example.com", "Jobs.Example.COM:443", 200),
        ("jobs.example.com", "example.com", 421), ("jobs.example.com", "a.jobs.example.com", 421),
        ("*.example.com", "jobs.example.com", 200), ("*.example.com", "a.b.example.com", 200),
        ("*.example.com", "example.com", 421), ("*.example.com", "evilexample.com", 421),
        (" API , *.example.com,", "api:8000", 200), ("api", "localhost", 200), ("api", "10.0.0.7", 200),
        ("*", "anything.example", 200),
    ],
)  # fmt: skip
async def test_the_operator_names_further_hosts(serve, fake_redis, allowed, host, status):
    client = await serve(fake_redis, api_allowed_hosts=allowed)
    assert (await client.get("/job-types", headers={"Host": host})).status_code == status


async def test_a_keys_file_makes_up_for_the_check_too(serve, fake_redis, tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text("[keys]\n")
    client = await serve(fake_redis, api_keys_file=str(path), api_cors_origins="*")
    refused(await client.get("/job-types", headers={"Host": "any.example"}), 401, "unauthorized")


async def test_a_key_makes_up_for_the_check_unless_hosts_are_named(serve, fake_redis):
    ann = as_caller("ann")
    open_client = await serve(fake_redis, api_keys=KEYS)
    answer = await open_client.get("/job-types", headers={"Host": "any.example", **ann})
    assert answer.status_code == 200
    assert (await ask(open_client, "a", "b"))[0] == 400
    strict_client = await serve(fake_redis, api_keys=KEYS, api_allowed_hosts="jobs.example")
    answer = await strict_client.get("/job-types", headers={"Host": "any.example", **ann})
    refused(answer, 421, "misdirected_request")


async def test_the_host_that_a_proxy_forwards_is_not_believed(serve, fake_redis):
    client = await serve(fake_redis, peer="127.0.0.1")
    headers = {"Host": "evil.example", "X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}
    refused(await client.get("/job-types", headers=headers), 421, "misdirected_request")
