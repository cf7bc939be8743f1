"""The coalescer: concurrent calls share a pipeline, and only a pipeline."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeAsyncRedis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from dev.stack import free_port
from shared.errors import QueueUnavailable
from shared.store.client import REDIS_GONE, Coalescer, connect
from shared.store.job_store import JobStore, Retention


class Redis:
    """Answers each command with its words; keeps what it was sent; breaks on demand."""

    def __init__(self) -> None:
        self.batches: list[list[tuple]] = []
        self.faults: deque[Exception] = deque()
        self.gate = asyncio.Event()
        self.gate.set()

    def pipeline(self, *, transaction: bool) -> "Pipeline":
        assert not transaction
        return Pipeline(self)


class Pipeline:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.commands: list[tuple] = []

    def execute_command(self, *words) -> None:
        self.commands.append(words)

    async def execute(self, *, raise_on_error: bool) -> list:
        assert not raise_on_error
        self.redis.batches.append(self.commands)
        await self.redis.gate.wait()
        if self.redis.faults:
            raise self.redis.faults.popleft()
        return [ResponseError("no") if words[0] == "BAD" else words for words in self.commands]


@pytest.fixture
async def fake() -> Redis:
    return Redis()


async def until(condition) -> None:
    """Let the others run until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_what_is_asked_while_a_pipeline_is_away_goes_out_in_the_next(fake):
    coalescer = Coalescer(fake)
    fake.gate.clear()
    first = asyncio.create_task(coalescer.execute_command("A", 0))
    await until(lambda: len(fake.batches) == 1)
    others = [asyncio.create_task(coalescer.execute_command("B", n)) for n in range(20)]
    await until(lambda: len(coalescer._waiting) == 20)
    fake.gate.set()
    assert await asyncio.gather(first, *others) == [("A", 0), *(("B", n) for n in range(20))]
    assert [len(batch) for batch in fake.batches] == [1, 20]


async def test_calls_made_together_share_a_pipeline(fake):
    coalescer = Coalescer(fake)
    await asyncio.gather(*(coalescer.execute_command("A", n) for n in range(10)))
    assert [len(batch) for batch in fake.batches] == [10]


async def test_calls_made_one_after_the_other_do_not_wait_for_more(fake):
    coalescer = Coalescer(fake)
    for n in range(3):
        await coalescer.execute_command("A", n)
    assert [len(batch) for batch in fake.batches] == [1, 1, 1]


async def test_everyone_gets_the_reply_to_his_own_command(redis):
    coalescer = Coalescer(redis)
    values = await asyncio.gather(*(coalescer.execute_command("ECHO", str(n)) for n in range(200)))
    assert values == [str(n).encode() for n in range(200)]


async def test_an_error_reply_hits_its_own_caller_only(fake):
    coalescer = Coalescer(fake)
    replies = await asyncio.gather(
        coalescer.execute_command("A"),
        coalescer.execute_command("BAD"),
        coalescer.execute_command("C"),
        return_exceptions=True,
    )
    assert replies[0] == ("A",)
    assert isinstance(replies[1], ResponseError)
    assert replies[2] == ("C",)


async def test_a_broken_pipeline_is_repeated_in_the_same_order(fake):
    coalescer = Coalescer(fake)
    fake.faults += [RedisConnectionError("cut"), OSError("cut")]
    replies = await asyncio.gather(*(coalescer.execute_command("A", n) for n in range(3)))
    assert replies == [("A", 0), ("A", 1), ("A", 2)]
    assert fake.batches == [[("A", 0), ("A", 1), ("A", 2)]] * 3


async def test_a_broken_pipeline_goes_before_what_was_asked_in_the_meantime(fake):
    coalescer = Coalescer(fake)
    fake.gate.clear()
    fake.faults.append(RedisConnectionError("cut"))
    first = asyncio.create_task(coalescer.execute_command("A"))
    await until(lambda: len(fake.batches) == 1)
    later = asyncio.create_task(coalescer.execute_command("B"))
    await until(lambda: len(coalescer._waiting) == 1)
    fake.gate.set()
    assert await asyncio.gather(first, later) == [("A",), ("B",)]
    assert fake.batches == [[("A",)], [("A",), ("B",)]]


async def test_a_redis_that_breaks_off_for_ever_is_given_up(fake):
    coalescer = Coalescer(fake, patience=0.2)
    fake.faults += [RedisConnectionError("cut")] * 100
    with pytest.raises(RedisConnectionError):
        await coalescer.execute_command("A")
    fake.faults.clear()
    assert await coalescer.execute_command("B") == ("B",)


async def test_a_redis_that_never_answers_is_given_up(fake):
    coalescer = Coalescer(fake, patience=0.2)
    fake.gate.clear()
    asked = asyncio.create_task(coalescer.execute_command("A"))
    await asyncio.wait([asked], timeout=2)
    assert asked.done(), "the caller waits for ever"
    assert isinstance(asked.exception(), TimeoutError)
    fake.gate.set()
    assert await coalescer.execute_command("B") == ("B",)


async def test_a_redis_that_is_away_is_given_up_within_two_seconds():
    redis = connect(f"redis://127.0.0.1:{free_port()}/0")
    started = time.monotonic()
    with pytest.raises(QueueUnavailable) as caught:
        await JobStore(Coalescer(redis), Retention()).get("a")
    assert time.monotonic() - started < 2
    assert isinstance(caught.value.__cause__, REDIS_GONE)
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """The port of a server that takes connections and never says a word."""
    gone = asyncio.Event()

    async def stay(_, writer) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(stay, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    gone.set()
    server.close()
    await server.wait_closed()


async def test_a_redis_that_says_nothing_is_given_up_within_two_seconds_by_every_caller(silent_port):
    redis = connect(f"redis://127.0.0.1:{silent_port}/0", connections=2)
    store = JobStore(Coalescer(redis), Retention())

    async def seconds_until_given_up() -> float:
        started = time.monotonic()
        with pytest.raises(QueueUnavailable):
            await store.get("a")
        return time.monotonic() - started

    first = asyncio.create_task(seconds_until_given_up())
    await until(lambda: store._runner._sender is not None and not store._runner._waiting)
    later = [asyncio.create_task(seconds_until_given_up()) for _ in range(3)]
    assert max(await asyncio.gather(first, *later)) < 2
    await redis.aclose(close_connection_pool=True)


async def test_a_cut_connection_is_not_noticed_by_callers(redis_stack, redis):
    mine = connect(redis_stack.redis_url)
    coalescer = Coalescer(mine)
    await coalescer.execute_command("SET", "jobs:record:x", "1")
    assert await redis.execute_command("CLIENT", "KILL", "SKIPME", "yes") >= 1
    assert await coalescer.execute_command("GET", "jobs:record:x") == b"1"
    await mine.aclose(close_connection_pool=True)


async def test_a_caller_who_leaves_disturbs_nobody(fake):
    coalescer = Coalescer(fake)
    fake.gate.clear()
    first = asyncio.create_task(coalescer.execute_command("A"))
    await until(lambda: len(fake.batches) == 1)
    leaving = asyncio.create_task(coalescer.execute_command("B"))
    staying = asyncio.create_task(coalescer.execute_command("C"))
    await until(lambda: len(coalescer._waiting) == 2)
    leaving.cancel()
    first.cancel()
    await asyncio.gather(first, leaving, return_exceptions=True)
    fake.gate.set()
    async with asyncio.timeout(5):
        assert await staying == ("C",)
    assert first.cancelled()
    assert leaving.cancelled()


async def test_an_unforeseen_error_reaches_the_callers_and_ends_nothing(fake):
    coalescer = Coalescer(fake)
    fake.faults.append(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"))
    async with asyncio.timeout(2):
        with pytest.raises((UnicodeEncodeError, *REDIS_GONE)):
            await coalescer.execute_command("A")
    assert await coalescer.execute_command("B") == ("B",)


async def test_an_argument_redis_cannot_take_is_answered_and_hits_its_own_caller_only():
    coalescer = Coalescer(FakeAsyncRedis())
    bad = asyncio.create_task(coalescer.execute_command("SET", "a", "\ud800"))
    good = asyncio.create_task(coalescer.execute_command("PING"))
    _, waiting = await asyncio.wait([bad, good], timeout=2.5)
    for task in waiting:
        task.cancel()
    assert not waiting, "a caller waits for ever"
    assert bad.exception() is not None
    assert good.result() in (True, b"PONG")
