"""Rate limits: the quota at once, then evenly, with the seconds until the next request."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from dev.stack import PATIENCE
from shared.store import redis_keys
from shared.store.client import connect
from shared.store.multiplexer import Multiplexer
from shared.store.rate_limits import WINDOW, RateLimits
from shared.store.scripts import RATE


@pytest.fixture
def rates(server: Redis) -> RateLimits:
    return RateLimits(server)


Pass = Callable[[float], Awaitable[None]]


@pytest.fixture
def let_pass(server: Redis) -> Pass:
    """Let this many seconds pass for the limit of caller `a`."""

    async def let_pass(seconds: float) -> None:
        whole_at = int(await server.get(redis_keys.RATE + "a"))
        await server.set(redis_keys.RATE + "a", whole_at - round(seconds * 1_000_000), keepttl=True)

    return let_pass


async def use_up(rates: RateLimits, quota: int) -> None:
    while (await rates.take("a", quota)).granted:
        pass


@pytest.mark.parametrize("quota", [1, 2, 3, 7, 11, 30])
async def test_the_quota_may_be_used_at_once_and_not_once_more(quota, rates):
    allowances = [await rates.take("a", quota) for _ in range(quota + 1)]
    assert [allowance.granted for allowance in allowances] == [True] * quota + [False]
    assert [allowance.remaining for allowance in allowances] == [*range(quota - 1, -1, -1), 0]
    assert all(WINDOW // quota - 1 <= allowance.more_in <= WINDOW // quota + 1 for allowance in allowances)


@pytest.mark.parametrize("quota", [1, 3, 7, 20])
async def test_one_more_is_let_in_when_it_was_said_and_not_a_second_before(quota, rates, let_pass):
    await use_up(rates, quota)
    refused = await rates.take("a", quota)
    await let_pass(refused.more_in - 2)
    early = await rates.take("a", quota)
    assert (early.granted, early.remaining, early.more_in in (1, 2)) == (False, 0, True)
    await let_pass(early.more_in)
    assert (await rates.take("a", quota)).granted
    assert not (await rates.take("a", quota)).granted


async def test_what_is_used_comes_back_evenly(rates, let_pass):
    await use_up(rates, 6)
    await let_pass(30)
    allowances = [await rates.take("a", 6) for _ in range(4)]
    assert [(allowance.granted, allowance.remaining) for allowance in allowances] == [
        (True, 2),
        (True, 1),
        (True, 0),
        (False, 0),
    ]


async def test_after_a_window_all_is_forgotten(rates, let_pass):
    await use_up(rates, 6)
    await let_pass(WINDOW)
    assert (await rates.take("a", 6)).remaining == 5


async def test_nothing_is_saved_up_in_a_long_pause(rates, let_pass):
    await rates.take("a", 6)
    await let_pass(3600)
    assert (await rates.take("a", 6)).remaining == 5


async def test_a_refused_request_does_not_put_off_the_next(rates, server):
    await use_up(rates, 2)
    before = await server.get(redis_keys.RATE + "a")
    for _ in range(5):
        assert not (await rates.take("a", 2)).granted
    assert await server.get(redis_keys.RATE + "a") == before


async def test_callers_do_not_share_a_quota(rates):
    await use_up(rates, 2)
    assert (await rates.take("b", 2)).granted


@pytest.mark.parametrize("quota", [999_999, 999_983, 60_001])
async def test_a_large_quota_is_counted_as_exactly(quota, rates, server):
    allowance = await rates.take("a", quota)
    assert (allowance.granted, allowance.remaining, allowance.more_in) == (True, quota - 1, 1)
    seconds, _ = await server.time()
    await server.set(
        redis_keys.RATE + "a", (seconds + WINDOW + 2) * 1_000_000
    )  # as if more than all were used
    allowance = await rates.take("a", quota)
    assert (allowance.granted, allowance.remaining, allowance.more_in in (2, 3)) == (False, 0, True)


async def test_a_lower_limit_holds_from_the_next_request(rates):
    for _ in range(20):
        await rates.take("a", 30)
    allowance = await rates.take("a", 2)
    assert (allowance.granted, allowance.remaining) == (False, 0)
    assert 1 <= allowance.more_in <= WINDOW


async def test_the_key_ends_when_the_quota_is_whole(rates, server, find_leaks):
    for used in (1, 2, 3):
        await rates.take("a", 3)
        left = await server.pttl(redis_keys.RATE + "a")
        assert 20_000 * (used - 1) < left <= 20_000 * used
    assert await find_leaks(server) == []
    await server.persist(redis_keys.RATE + "a")
    assert await find_leaks(server) == ["jobs:rate:a never expires"]


async def test_the_fake_and_the_real_redis_reply_alike(fake_redis, redis):
    for _ in range(4):
        replies = [await RATE.run(client, "a", 3, WINDOW * 1000, 1) for client in (fake_redis, redis)]
        assert replies[0][:2] == replies[1][:2]
        assert all(isinstance(number, int) for reply in replies for number in reply)
        assert abs(replies[0][2] - replies[1][2]) < 2000


async def test_processes_that_count_at_the_same_time_count_together(redis_stack, redis):
    runners = [Multiplexer(connect(redis_stack.redis_url)) for _ in range(3)]
    allowances = await asyncio.gather(
        *(RateLimits(runner).take("a", 10) for _ in range(8) for runner in runners)
    )
    for runner in runners:
        await runner.aclose()
    assert sum(allowance.granted for allowance in allowances) == 10


async def test_a_redis_that_says_nothing_counts_nothing_and_keeps_nobody_waiting():
    gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    listening = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    runner = Multiplexer(connect(f"redis://127.0.0.1:{port}/0"), timeout=PATIENCE, patience=PATIENCE)
    async with asyncio.timeout(PATIENCE / 2):  # no request of a client waits as long as one for Redis
        assert await RateLimits(runner).take("a", 1) is None
    await runner.aclose()
    await gone.wait()
    listening.close()


async def test_a_redis_that_refuses_to_count_counts_nothing(redis):
    await redis.config_set("maxmemory", 1)
    try:
        assert await RateLimits(redis).take("a", 1) is None
    finally:
        await redis.config_set("maxmemory", 0)
