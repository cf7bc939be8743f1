"""The multiplexer on slow links: bytes on their way are waited for, a silent Redis is not."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from dev.forwarder import Forwarder, forwarding
from dev.stack import Stack
from tests.integration.conftest import Open
from tests.integration.echo_server import EchoServer, until

SILENCE = 0.3  # seconds
NOTICED = 30 * SILENCE  # a bound for busy machines: without a notice a call would wait for ever
SLOW = 4 << 20  # bytes a second
LARGE = b"x" * (4 << 20)


@pytest.fixture
def slow_link(redis_stack: Stack) -> Iterator[Forwarder]:
    with forwarding(redis_stack.redis_port, rate=SLOW) as forwarder:
        yield forwarder


async def test_a_reply_that_arrives_is_waited_for_and_so_are_those_behind_it(
    redis: Redis, slow_link: Forwarder, open_to: Open
):
    await redis.set("jobs:record:x", LARGE)
    multiplexer = open_to(slow_link.port, timeout=SILENCE, patience=0.0)
    connection = await multiplexer.execute_command("CLIENT", "ID")
    large, small = await asyncio.gather(
        multiplexer.execute_command("GET", "jobs:record:x"), multiplexer.execute_command("ECHO", "a")
    )
    assert (large == LARGE, small) == (True, b"a")
    assert await multiplexer.execute_command("CLIENT", "ID") == connection


async def test_a_command_that_leaves_is_waited_for(redis: Redis, slow_link: Forwarder, open_to: Open):
    multiplexer = open_to(slow_link.port, timeout=SILENCE, patience=0.0)
    connection = await multiplexer.execute_command("CLIENT", "ID")
    assert await multiplexer.execute_command("SET", "jobs:record:x", LARGE) == b"OK"
    assert await multiplexer.execute_command("CLIENT", "ID") == connection


async def test_a_caller_who_leaves_a_slow_reply_disturbs_nobody(
    redis: Redis, slow_link: Forwarder, open_to: Open
):
    await redis.set("jobs:record:x", LARGE)
    multiplexer = open_to(slow_link.port, timeout=SILENCE, patience=0.0)
    connection = await multiplexer.execute_command("CLIENT", "ID")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await multiplexer.execute_command("GET", "jobs:record:x")
    assert await multiplexer.execute_command("ECHO", "a") == b"a"
    assert await multiplexer.execute_command("CLIENT", "ID") == connection


async def test_a_link_that_stops_within_a_reply_is_given_up(
    redis: Redis, slow_link: Forwarder, open_to: Open
):
    await redis.set("jobs:record:x", LARGE)
    multiplexer = open_to(slow_link.port, timeout=SILENCE, patience=0.0)
    reply = asyncio.create_task(multiplexer.execute_command("GET", "jobs:record:x"))
    await until(lambda: slow_link.passed > 2 * SILENCE * SLOW)  # on its way for longer than a silence
    assert not reply.done()
    slow_link.rate = 1
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        await reply
    assert time.monotonic() - begun < NOTICED


async def test_a_link_that_stops_within_a_command_is_given_up(
    redis: Redis, slow_link: Forwarder, open_to: Open
):
    multiplexer = open_to(slow_link.port, timeout=SILENCE, patience=0.0)
    slow_link.rate = 1 << 16
    begun = time.monotonic()
    await multiplexer.execute_command("ECHO", "a")
    slow_link.rate = 1
    with pytest.raises(TimeoutError):
        await multiplexer.execute_command("SET", "jobs:record:x", LARGE)
    assert time.monotonic() - begun < NOTICED


# -- a silent Redis


async def test_a_frozen_redis_is_noticed_although_its_kernel_takes_more_and_more(
    echo_server: EchoServer, open_to: Open
):
    multiplexer = open_to(echo_server.port, timeout=SILENCE, patience=0.0)
    await multiplexer.execute_command("A")
    echo_server.may_answer.clear()
    calls: list[asyncio.Task[object]] = []
    async with asyncio.timeout(NOTICED):
        while not (calls and calls[0].done()):
            calls.append(asyncio.create_task(multiplexer.execute_command("B", b"x" * 1000)))
            await asyncio.sleep(0.01)
    echo_server.may_answer.set()
    await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(calls[0].exception(), TimeoutError)


async def test_a_pause_of_this_process_is_not_taken_for_silence(echo_server: EchoServer, open_to: Open):
    multiplexer = open_to(echo_server.port, timeout=SILENCE, patience=0.0)
    await multiplexer.execute_command("A")
    reply = asyncio.create_task(multiplexer.execute_command("B"))
    await asyncio.sleep(0)
    time.sleep(2 * SILENCE)  # noqa: ASYNC251
    assert await reply == [b"B"]
    assert echo_server.connections == 1
