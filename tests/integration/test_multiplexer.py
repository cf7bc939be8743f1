"""The multiplexer: callers share a connection and its writes, and nothing else."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from hiredis import Reader, pack_command
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from dev.forwarder import Forwarder, forwarding
from dev.stack import PATIENCE, Stack, free_port
from shared.errors import QueueUnavailable
from shared.store.client import REDIS_GONE, connect
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from tests.new_jobs import RETENTION


class Server:
    """Server that answers each command with its words, waits or breaks on demand, and keeps its reads."""

    def __init__(self) -> None:
        self.reads: list[list[list[bytes]]] = []
        self.connections = 0
        self.open = 0
        self.breaks = 0  # connections to cut at their next commands
        self.errors: list[bytes] = []  # in place of the next replies
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        parser = Reader()
        try:
            while data := await reader.read(1 << 16):
                parser.feed(data)
                commands = []
                while (command := parser.gets()) is not False:
                    commands.append(command)
                await self.answer(commands, writer)
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()

    async def answer(self, commands: list[list[bytes]], writer: asyncio.StreamWriter) -> None:
        greetings = {b"PING": b"+PONG\r\n", b"CLIENT": b"+OK\r\n", b"ROLE": b"-ERR no\r\n"}
        mine = [command for command in commands if command[0] not in greetings]
        if mine:
            self.reads.append(mine)
            if self.breaks:
                self.breaks -= 1
                raise ConnectionError
            await self.may_answer.wait()
        for command in commands:
            if command[0] in greetings:
                writer.write(greetings[command[0]])
            elif self.errors:
                writer.write(b"-%s\r\n" % self.errors.pop(0))
            else:
                writer.write(b"-ERR no\r\n" if command[0] == b"BAD" else pack_command(tuple(command)))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    fake = Server()
    listening = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = listening.sockets[0].getsockname()[1]
    yield fake
    fake.may_answer.set()
    await until(lambda: not fake.open)
    listening.close()


Open = Callable[..., Multiplexer]


@pytest.fixture
async def open_to() -> AsyncIterator[Open]:
    opened: list[Multiplexer] = []

    def open_to(port: int, **options: Any) -> Multiplexer:
        opened.append(Multiplexer(connect(f"redis://127.0.0.1:{port}/0"), **options))
        return opened[-1]

    yield open_to
    for multiplexer in opened:
        await multiplexer.aclose()


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def seconds_until_given_up(call: Awaitable[object]) -> float:
    started = time.monotonic()
    with pytest.raises(QueueUnavailable) as caught:
        await call
    assert isinstance(caught.value.__cause__, REDIS_GONE)
    return time.monotonic() - started


async def test_calls_made_together_go_out_in_one_write_on_one_connection(server: Server, open_to: Open):
    multiplexer = open_to(server.port)
    replies = await asyncio.gather(*(multiplexer.execute_command("A", n) for n in range(10)))
    assert replies == [[b"A", b"%d" % n] for n in range(10)]
    assert [len(read) for read in server.reads] == [10]
    assert server.connections == 1


async def test_nobody_waits_for_the_reply_to_another(server: Server, open_to: Open):
    multiplexer = open_to(server.port)
    server.may_answer.clear()
    first = asyncio.create_task(multiplexer.execute_command("A"))
    await until(lambda: server.reads)
    second = asyncio.create_task(multiplexer.execute_command("B"))
    server.may_answer.set()
    assert await asyncio.gather(first, second) == [[b"A"], [b"B"]]


async def test_everyone_gets_the_reply_to_his_own_command(redis_stack: Stack, open_to: Open):
    multiplexer = open_to(redis_stack.redis_port)
    values = await asyncio.gather(*(multiplexer.execute_command("ECHO", str(n)) for n in range(200)))
    assert values == [str(n).encode() for n in range(200)]


async def test_an_error_reply_hits_its_own_caller_only(server: Server, open_to: Open):
    multiplexer = open_to(server.port)
    calls = [multiplexer.execute_command(name) for name in ("A", "BAD", "C")]
    first, bad, last = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, last) == ([b"A"], [b"C"])
    assert isinstance(bad, ResponseError)


async def test_an_error_reply_is_the_error_that_redis_py_makes_of_it(redis_stack: Stack, open_to: Open):
    with pytest.raises(NoScriptError):
        await open_to(redis_stack.redis_port).execute_command("EVALSHA", "0" * 40, 0)


async def test_an_argument_redis_cannot_take_hits_its_own_caller_only(server: Server, open_to: Open):
    multiplexer = open_to(server.port)
    calls = [multiplexer.execute_command("A", word) for word in ("\ud800", "good")]
    bad, good = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(bad, UnicodeEncodeError)
    assert good == [b"A", b"good"]


async def test_a_cut_connection_is_not_noticed_by_callers(server: Server, open_to: Open):
    multiplexer = open_to(server.port)
    server.breaks = 2
    replies = await asyncio.gather(*(multiplexer.execute_command("A", n) for n in range(3)))
    assert replies == [[b"A", b"%d" % n] for n in range(3)]
    assert server.connections == 3


async def test_a_connection_that_redis_has_closed_is_opened_again(
    redis_stack: Stack, redis: Redis, open_to: Open
):
    multiplexer = open_to(redis_stack.redis_port)
    await multiplexer.execute_command("SET", "jobs:record:x", "1")
    assert await redis.execute_command("CLIENT", "KILL", "SKIPME", "yes") >= 1
    assert await multiplexer.execute_command("GET", "jobs:record:x") == b"1"


async def test_without_patience_a_cut_is_told_at_once(server: Server, open_to: Open):
    multiplexer = open_to(server.port, patience=0.0)
    server.breaks = 1
    with pytest.raises(RedisConnectionError):
        await multiplexer.execute_command("A")
    assert await multiplexer.execute_command("B") == [b"B"]


async def test_a_redis_that_breaks_off_for_ever_is_given_up(server: Server, open_to: Open):
    multiplexer = open_to(server.port, patience=0.2)
    server.breaks = 1000
    with pytest.raises(RedisConnectionError):
        await multiplexer.execute_command("A")
    server.breaks = 0
    assert await multiplexer.execute_command("B") == [b"B"]


async def test_a_late_reply_is_not_taken_for_the_reply_to_another(server: Server, open_to: Open):
    multiplexer = open_to(server.port, timeout=0.1, patience=0.0)
    server.may_answer.clear()
    with pytest.raises(TimeoutError):
        await multiplexer.execute_command("A")
    server.may_answer.set()
    assert await multiplexer.execute_command("B") == [b"B"]
    assert server.connections == 2


async def test_a_reply_that_nobody_needs_may_be_an_error_or_be_lost(server: Server, open_to: Open):
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    multiplexer = open_to(server.port)
    multiplexer.tell("A")  # there is no connection: it is dropped
    assert await multiplexer.execute_command("B") == [b"B"]
    multiplexer.tell("BAD")
    assert await multiplexer.execute_command("C") == [b"C"]
    server.breaks = 1
    multiplexer.tell("D")
    await until(lambda: not server.open)
    assert await multiplexer.execute_command("E") == [b"E"]
    gc.collect()
    assert reports == []


async def test_a_redis_that_is_away_is_given_up_within_two_seconds(open_to: Open):
    queue = JobQueue(open_to(free_port()), RETENTION, max_waiting=1)
    assert await seconds_until_given_up(queue.get("a")) < 2


async def test_a_redis_that_says_nothing_is_given_up_within_two_seconds_by_everyone(
    server: Server, open_to: Open
):
    queue = JobQueue(open_to(server.port), RETENTION, max_waiting=1)
    server.may_answer.clear()
    first = asyncio.create_task(seconds_until_given_up(queue.get("a")))
    await until(lambda: server.reads)
    later = [asyncio.create_task(seconds_until_given_up(queue.get("a"))) for _ in range(3)]
    assert max(await asyncio.gather(first, *later)) < 2


async def test_what_is_no_redis_is_given_up(open_to: Open):
    async def gibberish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(100)
        writer.close()

    listening = await asyncio.start_server(gibberish, "127.0.0.1", 0)
    multiplexer = open_to(listening.sockets[0].getsockname()[1], patience=0.0)
    with pytest.raises(REDIS_GONE):
        await multiplexer.execute_command("A")
    listening.close()


async def test_a_caller_who_leaves_disturbs_nobody(server: Server, open_to: Open):
    multiplexer = open_to(server.port)
    server.may_answer.clear()
    leaving, staying = (asyncio.create_task(multiplexer.execute_command(name)) for name in "AB")
    await until(lambda: server.reads)
    leaving.cancel()
    await asyncio.wait([leaving])
    server.may_answer.set()
    assert await staying == [b"B"]
    assert leaving.cancelled()


async def test_a_caller_who_leaves_while_the_connection_opens_disturbs_nobody(server: Server, open_to: Open):
    multiplexer = open_to(server.port)
    leaving, staying = (asyncio.create_task(multiplexer.execute_command(name)) for name in "AB")
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == [b"B"]
    assert server.connections == 1


# -- error replies that pass


WITHIN_SCRIPT = "ERR Error running script (call to f_ab): @user_script:12: @user_script: 12: -"
MOVED = ["READONLY You can't write.", "UNBLOCKED force unblock.", "MASTERDOWN Link is down.", "MOVED 7 a:1"]
MOVED += ["ASK 7 a:1", "CLUSTERDOWN no", "NOAUTH no", WITHIN_SCRIPT + "READONLY You can't write."]
BUSY = [
    "LOADING Redis is loading.",
    "NOREPLICAS no",
    "TRYAGAIN no",
    "BUSY a script",
    WITHIN_SCRIPT + "NOREPLICAS no",
]
FINAL = ["WRONGTYPE no", "NOPERM no", "OOM no", "ERR no", "MISCONF no", WITHIN_SCRIPT + "OOM no"]


@pytest.mark.parametrize("text", MOVED)
async def test_a_server_that_is_not_the_primary_is_left(server: Server, open_to: Open, text: str):
    multiplexer = open_to(server.port)
    server.errors = [text.encode()]
    assert await multiplexer.execute_command("A") == [b"A"]
    assert server.connections == 2


@pytest.mark.parametrize("text", BUSY)
async def test_a_server_that_can_answer_soon_is_waited_for(server: Server, open_to: Open, text: str):
    multiplexer = open_to(server.port)
    server.errors = [text.encode()] * 2
    assert await multiplexer.execute_command("A") == [b"A"]
    assert server.connections == 1


@pytest.mark.parametrize("text", FINAL)
async def test_a_final_error_is_raised_at_once(server: Server, open_to: Open, text: str):
    multiplexer = open_to(server.port)
    server.errors = [text.encode()]
    with pytest.raises(REDIS_GONE):
        await multiplexer.execute_command("A")
    assert await multiplexer.execute_command("B") == [b"B"]
    assert server.connections == 1


async def test_without_patience_the_next_command_goes_to_another_server(server: Server, open_to: Open):
    multiplexer = open_to(server.port, patience=0.0)
    server.errors = [b"READONLY You can't write."]
    with pytest.raises(ReadOnlyError):
        await multiplexer.execute_command("A")
    assert await multiplexer.execute_command("B") == [b"B"]
    assert server.connections == 2


async def test_a_server_that_is_never_ready_is_left_in_the_end(server: Server, open_to: Open):
    multiplexer = open_to(server.port, patience=0.1)
    assert await multiplexer.execute_command("A") == [b"A"]
    server.errors = [b"LOADING Redis is loading."] * 10
    with pytest.raises(BusyLoadingError):
        await multiplexer.execute_command("B")
    server.errors.clear()
    assert await multiplexer.execute_command("C") == [b"C"]
    assert server.connections == 2


async def test_a_fail_over_is_told_once_the_new_connection_is_open(server: Server, open_to: Open):
    connections: list[int] = []
    multiplexer = open_to(server.port, on_failover=lambda: connections.append(server.connections))
    server.errors = [b"ERR no"]
    server.breaks = 1
    with pytest.raises(ResponseError):
        await multiplexer.execute_command("A")
    assert connections == []  # a cut is no fail-over
    server.errors = [b"READONLY You can't write."]
    assert await multiplexer.execute_command("A") == [b"A"]
    assert connections == [3]


async def test_a_renewed_connection_is_opened_again_for_those_who_wait(server: Server, open_to: Open):
    multiplexer = open_to(server.port)
    server.may_answer.clear()
    waiting = asyncio.create_task(multiplexer.execute_command("A"))
    await until(lambda: server.reads)
    multiplexer.renew()
    server.may_answer.set()
    assert await waiting == [b"A"]
    assert server.connections == 2


# -- slow links


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


async def test_a_frozen_redis_is_noticed_although_its_kernel_takes_more_and_more(
    server: Server, open_to: Open
):
    multiplexer = open_to(server.port, timeout=SILENCE, patience=0.0)
    await multiplexer.execute_command("A")
    server.may_answer.clear()
    calls: list[asyncio.Task[object]] = []
    async with asyncio.timeout(NOTICED):
        while not (calls and calls[0].done()):
            calls.append(asyncio.create_task(multiplexer.execute_command("B", b"x" * 1000)))
            await asyncio.sleep(0.01)
    server.may_answer.set()
    await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(calls[0].exception(), TimeoutError)


async def test_a_pause_of_this_process_is_not_taken_for_silence(server: Server, open_to: Open):
    multiplexer = open_to(server.port, timeout=SILENCE, patience=0.0)
    await multiplexer.execute_command("A")
    reply = asyncio.create_task(multiplexer.execute_command("B"))
    await asyncio.sleep(0)
    time.sleep(2 * SILENCE)  # noqa: ASYNC251
    assert await reply == [b"B"]
    assert server.connections == 1
