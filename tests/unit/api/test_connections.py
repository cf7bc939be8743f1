"""ConnectionLimits of connections, over real sockets, on both of uvicorn's parsers."""

import asyncio
import resource
import time
from contextlib import suppress

import pytest

from api.server.connections import MAX_CONNECTIONS, MIN_SPARE, STEP, limits_of_process
from tests.conftest import LogTape
from tests.unit.api.small_server import serving, until

HOST = b"Host: localhost\r\n"
LONG = 30_000

both = pytest.mark.parametrize("http", ["httptools", "h11"])


@both
@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET /" + b"a" * LONG, id="URL"),
        pytest.param(b"GET / HTTP/1.1\r\nx: " + b"a" * LONG, id="header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * LONG, id="headers"),
    ],
)
async def test_a_head_without_end_is_refused(http: str, start: bytes):
    async with serving(http) as site:
        client = await site.connect()
        await client.send(start)
        assert await client.refusal() == (431, "head_too_large")


@both
@pytest.mark.parametrize("step", [1, 1000])
async def test_a_head_that_comes_in_pieces_is_counted(http: str, step: int):
    async with serving(http, head_bytes=500) as site:
        client = await site.connect()
        await client.send(b"GET / HTTP/1.1\r\nx: ")
        for _ in range(0, 1000, step):
            await client.send(b"a" * step)
            await asyncio.sleep(0)
        assert (await client.refusal())[0] == 431


async def test_a_head_just_below_the_limit_is_served_and_its_body_is_not_counted():
    async with serving(head_bytes=1000) as site:
        client = await site.connect()
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 500000\r\nx: "
        head += b"a" * (1000 - len(head) - 4) + b"\r\n\r\n"
        for _ in range(2):
            await client.send(head + b"b" * 500_000)
            assert (await client.answer())[::2] == (200, b"500000")


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"1;" + b"a" * LONG, id="chunk extension"),
        pytest.param(b"0\r\n" + b"x: a\r\n" * LONG, id="trailers"),
        pytest.param(b"0" * LONG, id="digits of a chunk size"),
        pytest.param(b"0\r\nx: " + b"a" * LONG, id="trailer"),
    ],
)
async def test_noise_between_pieces_of_a_body_is_refused(noise: bytes):
    async with serving() as site:
        client = await site.connect()
        await client.send(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n" + noise
        )
        status, _ = await client.refusal()
        assert status in (400, 431)


@both
async def test_a_slow_head_is_refused(http: str):
    async with serving(http, head_seconds=0.2) as site:
        client = await site.connect()
        begun = time.monotonic()
        await client.send(b"GET / HTTP/1.1\r\nHos")
        assert await client.refusal() == (408, "request_timeout")
        assert 0.2 <= time.monotonic() - begun < 2


@both
async def test_a_head_that_drips_gets_no_more_time(http: str):
    async with serving(http, head_seconds=0.2) as site:
        client = await site.connect()
        await client.send(b"GET / HTTP/1.1\r\nx: ")

        async def drip() -> None:
            while True:
                await client.send(b"a")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert (await client.refusal())[0] == 408
        dripping.cancel()


@both
async def test_a_second_head_has_its_own_time(http: str):
    async with serving(http, head_seconds=0.2) as site:
        client = await site.connect()
        await client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await client.answer())[0] == 200
        await client.send(b"GE")
        assert (await client.refusal())[0] == 408


@both
async def test_a_connection_that_sends_nothing_ends(http: str):
    async with serving(http, head_seconds=0.1) as site:
        client = await site.connect()
        await client.ends()
        await until(lambda: not len(site.connections))


@both
async def test_a_slow_body_is_refused_but_not_that_of_a_file(http: str):
    async with serving(http, body_seconds=0.2) as site:
        slow, file = await site.connect(), await site.connect()
        head = b"POST %s HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nab"
        await file.send(head % b"/files")
        await slow.send(head % b"/jobs")
        assert await slow.refusal() == (408, "request_timeout")
        await file.send(b"c")
        assert (await file.answer())[::2] == (200, b"3")


@both
async def test_an_answer_has_no_time_limit(http: str):
    async with serving(http, head_seconds=0.1, body_seconds=0.1, stalled_seconds=0.1) as site:
        client, silent = await site.connect(), await site.connect()
        await client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
        await silent.ends()
        await (await site.connect()).ends()  # by then, a limit that counted would have ended the first one
        site.held.set()
        assert (await client.answer())[0] == 200


@both
async def test_a_client_that_does_not_read_is_given_up(http: str):
    async with serving(http, stalled_seconds=0.2) as site:
        client = await site.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: len(site.connections) == 1)
        await until(lambda: not len(site.connections))


@both
async def test_bytes_that_are_not_http_are_refused_in_the_envelope(http: str, log_tape: LogTape):
    async with serving(http) as site:
        client = await site.connect()
        await client.send(b"nonsense\r\n\r\n")
        assert await client.refusal() == (400, "bad_request")
        await until(lambda: not len(site.connections))  # although the client has not closed it
        [line] = log_tape.lines("request refused")
        assert (line["status"], line["client"]) == (400, "127.0.0.1")


@both
async def test_requests_before_a_bad_one_are_answered(http: str):
    async with serving(http) as site:
        client = await site.connect()
        await client.send(
            b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET / HTTP/1.1\r\nx: " + b"a" * 20_000
        )
        await site.holding.wait()
        site.held.set()
        assert (await client.answer())[0] == 200
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            assert (await client.answer())[0] == 431
        await client.ends()


async def test_pipelined_requests_are_bounded():
    async with serving(pipelined=10) as site:
        client = await site.connect()
        await client.send(
            (b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n") + (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") * 50
        )
        await site.holding.wait()
        site.held.set()
        answered = 0
        with suppress(asyncio.IncompleteReadError):
            while (await client.answer())[0] == 200:
                answered += 1
        assert answered == 11


@both
async def test_a_body_in_tiny_chunks_lets_others_have_their_turn(http: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.server.protocols.TURN_SECONDS", 0)  # however quick the machine is
    chunks, turns = 40_000, 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with serving(http) as site:
        client = await site.connect()
        await client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        other = asyncio.create_task(take_turns())
        body = b"1\r\nx\r\n" * chunks
        await client.send(body + b"0\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await client.answer())[::2] == (200, b"%d" % chunks)
        other.cancel()
        assert (await client.answer())[::2] == (200, b"0")
        assert turns >= len(body) // STEP


@both
async def test_the_bound_refuses_new_connections_and_says_so_once(http: str, log_tape: LogTape):
    async with serving(http, most=3) as site:
        held = [await site.connect() for _ in range(3)]
        for client in held:
            await client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: len(site.connections) == 3 and not site.connections.new)
        for _ in range(5):
            assert await (await site.connect()).refusal() == (503, "too_many_connections")
        assert len(log_tape.lines("all connections are taken")) == 1
        site.held.set()
        for client in held:
            assert (await client.answer())[0] == 200
            client.writer.close()
        await until(lambda: log_tape.lines("connections are free again"))
        assert log_tape.lines("connections are free again")[0]["refused"] == 5
        again = await site.connect()
        await again.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await again.answer())[0] == 200


async def test_silent_connections_make_room():
    async with serving(most=3) as site:
        silent = [await site.connect() for _ in range(3)]
        await until(lambda: len(site.connections) == 3)
        client = await site.connect()
        assert await silent[0].refusal() == (503, "too_many_connections")
        await client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await client.answer())[0] == 200
        assert len(site.connections) == 3


@pytest.mark.parametrize(
    ("soft", "hard", "given", "most"),
    [
        (256, 256, 0, 192),
        (128, 128, 0, 64),
        (512, 1024, 0, 768),
        (256, 256, 10, 10),
        (256, 256, 9999, 192),
        (256, resource.RLIM_INFINITY, 0, MAX_CONNECTIONS),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 0, MAX_CONNECTIONS),
        (512, resource.RLIM_INFINITY, 50_000, 50_000),
    ],
)
def test_the_bound_leaves_descriptors(
    soft: int, hard: int, given: int, most: int, monkeypatch: pytest.MonkeyPatch
):
    limit = [soft, hard]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limit))
    monkeypatch.setattr(resource, "setrlimit", lambda _, to: limit.__setitem__(slice(None), to))
    assert limits_of_process(given).most == most
    assert limit[0] in (soft, resource.RLIM_INFINITY) or limit[0] - most >= MIN_SPARE
    assert limit[1] == hard
