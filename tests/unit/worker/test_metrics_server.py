"""MetricsServer: one path, one method, bounds of connections and heads."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from worker.metrics import server
from worker.metrics.server import HEAD_BYTES, MOST_CONNECTIONS, MetricsServer, listen

GET = b"GET /metrics HTTP/1.1\r\nHost: worker\r\n\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = listen("127.0.0.1", _free_port())
    serving = asyncio.create_task(MetricsServer(listener, lambda: b"figures 1\n").run())
    yield listener.getsockname()[1]
    serving.cancel()
    await asyncio.wait([serving])
    listener.close()


def _free_port() -> int:
    with listen("127.0.0.1", 0) as found:
        port: int = found.getsockname()[1]
        return port


async def ask(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer; both are empty if the connection ends without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    except ConnectionError:
        return b"", b""
    finally:
        writer.close()
    return head, body


async def test_a_scrape_gets_the_metrics(port: int):
    head, body = await ask(port, GET)
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert body == b"figures 1\n"
    assert b"Content-Length: 10\r\n" in head


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /metrics?x=1 HTTP/1.1", b"200"),
        (b"POST /metrics HTTP/1.1", b"405"),
        (b"HEAD /metrics HTTP/1.1", b"405"),
        (b"GET / HTTP/1.1", b"404"),
        (b"nonsense", b"404"),
        (b"", b"404"),
    ],
)
async def test_there_is_one_path_with_one_method(port: int, line: bytes, status: bytes):
    head, _ = await ask(port, line + b"\r\n\r\n")
    assert head.split()[1] == status


async def test_a_head_without_end_is_cut_off(port: int):
    assert await ask(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 2 * HEAD_BYTES) == (b"", b"")
    assert (await ask(port, GET))[1] == b"figures 1\n"


async def test_a_silent_client_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "PATIENCE", 0.05)
    assert await ask(port, b"GET /metrics") == (b"", b"")


async def test_connections_are_bounded_and_room_comes_back(port: int):
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_CONNECTIONS)]
    assert await ask(port, GET) == (b"", b"")
    for _, writer in silent:
        writer.close()
    async with asyncio.timeout(60):
        while not (await ask(port, GET))[1]:
            pass


async def test_a_server_that_was_cancelled_serves_again(port: int):
    listener = listen("127.0.0.1", _free_port())
    served = MetricsServer(listener, lambda: b"again\n")
    for _ in range(2):
        task = asyncio.create_task(served.run())
        assert (await ask(listener.getsockname()[1], GET))[1] == b"again\n"
        task.cancel()
        await asyncio.wait([task])
    listener.close()


def test_a_port_in_use_is_an_error_that_says_what_to_do():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=rf"listen on 127.0.0.1:{port} \(Address already in use\); choose"):
            listen("127.0.0.1", port)
