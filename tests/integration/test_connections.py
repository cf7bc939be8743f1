"""A server that hangs up while a connection opens: each caller gets an error that it expects."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop
from redis.asyncio.connection import Connection

from shared.store.client import REDIS_GONE, connect, sentinels_of
from shared.store.multiplexer import Multiplexer
from tests.integration.echo_server import echo_serving, until

URLS = [
    "redis://:password@127.0.0.1:{}/0",
    "redis+cluster://:password@127.0.0.1:{}",
    "redis+sentinel://127.0.0.1:{}/jobs?sentinel_password=password",
]


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The connections so far; each is closed before its first word, as by a server that dies then."""
    open_connection, found = Connection._connect, []

    async def open_and_lose(self: Connection) -> None:
        await open_connection(self)
        found.append(self)
        transport = self._writer.transport
        transport.abort()
        await until(lambda: "closed=True" in repr(transport))  # uvloop refuses a write from now on

    monkeypatch.setattr(Connection, "_connect", open_and_lose)
    return found


@pytest.mark.parametrize("url", URLS)
def test_a_command_ends_in_an_expected_error(url: str):
    async def ask(port: int) -> None:
        multiplexer = Multiplexer(connect(url.format(port)), timeout=0.2, patience=0.2)
        try:
            await multiplexer.execute_command("A")
        finally:
            await multiplexer.aclose()

    with pytest.raises(REDIS_GONE):
        uvloop.run(serving(ask))


@pytest.mark.parametrize("url", URLS)
def test_a_command_of_a_client_ends_in_an_expected_error(url: str):
    async def ask(port: int) -> None:
        await connect(url.format(port)).ping()

    with pytest.raises(REDIS_GONE):
        uvloop.run(serving(ask))


def test_a_watch_over_sentinels_asks_again(opened: list[Connection]):
    async def watch(port: int) -> None:
        sentinels = sentinels_of(connect(URLS[2].format(port)))
        assert sentinels is not None
        watching = asyncio.create_task(sentinels.watch(lambda: None))
        await until(lambda: len(opened) > 1 or watching.done())
        assert not watching.done()
        watching.cancel()

    uvloop.run(serving(watch))


async def serving(call: Callable[[int], Awaitable[None]]) -> None:
    async with echo_serving() as server:
        await call(server.port)
