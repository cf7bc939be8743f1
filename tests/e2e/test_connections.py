"""Limits of connections in an API that is started by uvicorn alone, which has no such limits."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest

from dev.service import json_lines, serving
from dev.stack import PATIENCE, free_port, wait_until
from tests.conftest import answers
from tests.e2e.commands import finish, run_python

MOST = 192  # of 256 descriptors
STARTS_WITH_FEW_DESCRIPTORS = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
runpy.run_module("uvicorn", run_name="__main__")
"""


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with serving(api=False) as service:
        yield service.stack.redis_url


def read_all(connection: socket.socket) -> bytes:
    """Bytes of a connection until its end or a reset."""
    received = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65_536):
            received += piece
    return received


def test_an_api_that_is_started_plainly_has_limits(redis_url: str):
    port = free_port()
    command = ("-c", STARTS_WITH_FEW_DESCRIPTORS, "api.main:app", "--port", str(port))
    process = run_python(*command, **{**os.environ, "REDIS_URL": redis_url})
    try:
        wait_until(lambda: answers(port), "the API listens")
        refuse_endless_head(port)
        serve_beside_silent_connections(port)
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200, "it is ready")
    finally:
        process.terminate()
        _, output = finish(process)
    lines = json_lines(output)
    assert [line["most"] for line in lines if line["event"] == "all connections are taken"] == [MOST]
    assert "Too many open files" not in output
    assert "Traceback" not in output


def refuse_endless_head(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        with suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 1_000_000)
        received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"head_too_large"' in received


def serve_beside_silent_connections(port: int) -> None:
    """The oldest silent connection makes room: the next caller is served, and not refused with 503."""
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            for _ in range(MOST + 10)
        ]
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE).status_code == 200
        assert b'"code":"too_many_connections"' in read_all(silent[0])
