"""Context of a request: its id, its log line, and its client's address."""

import pytest


@pytest.mark.parametrize("sent", ["abc", "a" * 128, "A-1._~+/=", "5f1c0e9a4b7d4e3f8a6b2c1d0e9f8a7b"])
@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/jobs/x"])
async def test_a_valid_request_id_is_kept(client, sent, path, log_tape):
    answer = await client.get(path, headers={"X-Request-ID": sent})
    assert answer.headers.get_list("x-request-id") == [sent]
    assert [line["request_id"] for line in log_tape.lines("request")] == [sent]


@pytest.mark.parametrize("sent", ["", "a" * 129, "a b", "a\tb", 'a"b', "ü".encode(), b"\xff", "<b>"])
async def test_another_request_id_is_replaced(client, sent):
    first, second = [await client.get("/jobs/x", headers={"X-Request-ID": sent}) for _ in range(2)]
    made = first.headers["x-request-id"]
    assert made != second.headers["x-request-id"]
    assert len(made) == 32
    assert first.json()["request_id"] == made


async def test_a_request_is_one_log_line(client, log_tape):
    await client.get("/healthz", headers={"X-Forwarded-For": "198.51.100.1"})
    (line,) = log_tape.lines("request")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/healthz", 200)
    assert line["client"] == "203.0.113.9"
    assert 0 <= line["duration"] < 5


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ("127.0.0.1", "127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("203.0.113.0/24", "203.0.113.9", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1,203.0.113.9", "127.0.0.1", "192.0.2.66, 198.51.100.1, 203.0.113.9", "198.51.100.1"),
        ("*", "203.0.113.9", "198.51.100.1", "198.51.100.1"),
        ("", "127.0.0.1", "198.51.100.1", "127.0.0.1"),
    ],
)
async def test_forwarded_addresses_count_from_trusted_proxies_only(
    trusted, peer, forwarded, client, serve, fake_redis, log_tape
):
    asking = await serve(fake_redis, peer=peer, api_trusted_proxies=trusted)
    await asking.get("/healthz", headers={"X-Forwarded-For": forwarded})
    assert [line["client"] for line in log_tape.lines("request")] == [client]
