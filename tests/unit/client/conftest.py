"""Fixtures of the client: both faces before a fake server, a clock of their own, and the command line."""

from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from client import Client, Retries
from client.command_line.commands import main
from client.transport import AsyncTransport, BlockingTransport, Transport
from tests.unit.client.fake_server import Clock, FakeServer, connect


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Clock of all clients."""
    clock = Clock()
    monkeypatch.setattr(Transport, "now", lambda _: clock.now())
    for transport in (BlockingTransport, AsyncTransport):
        monkeypatch.setattr(transport, "sleep", lambda _, seconds: clock.sleep(seconds))
    return clock


@pytest.fixture(params=["Client", "AsyncClient"])
def face(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Open a client of this face before a server: `face(server, key=…)`."""
    return lambda server, **options: connect(request.param, server, **options)


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the command line's variables: a developer may have set them."""
    for name in ("JOB_SERVER_URL", "JOB_SERVER_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, plain_environment: None) -> Callable[..., int]:
    """Run a command line before a fake server; returns the exit code."""

    def run(line: str, *responses: Any) -> int:
        server = FakeServer(*responses)
        transport = httpx.MockTransport(server)
        face = partial(Client, transport=transport, retries=Retries(most=0))
        monkeypatch.setattr("client.command_line.commands.Client", face)
        return main(line.split())

    return run
