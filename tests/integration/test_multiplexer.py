"""The multiplexer: callers share a connection and its writes, and nothing else."""

import asyncio
import gc
import time
from collections.abc import Awaitable

import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import BusyLoadingError, NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from dev.stack import Stack, free_port
from shared.errors import QueueUnavailable
from shared.store import multiplexer as module
from shared.store.client import REDIS_GONE, connect
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from tests.integration.conftest import Open
from tests.integration.echo_server import EchoServer, echo_serving, until
from tests.new_jobs import RETENTION

LONG = 600.0  # seconds: more than a test takes


async def seconds_until_given_up(call: Awaitable[object]) -> float:
    started = time.monotonic()
    with pytest.raises(QueueUnavailable) as caught:
        await call
    assert isinstance(caught.value.__cause__, REDIS_GONE)
    return time.monotonic() - started


async def test_calls_made_together_go_out_in_one_write_on_one_connection(
    echo_server: EchoServer, open_to: Open
):
    multiplexer = open_to(echo_server.port)
    replies = await asyncio.gather(*(multiplexer.execute_command("A", n) for n in range(10)))
    assert replies == [[b"A", b"%d" % n] for n in range(10)]
    assert [len(read) for read in echo_server.reads] == [10]
    assert echo_server.connections == 1


async def test_nobody_waits_for_the_reply_to_another(echo_server: EchoServer, open_to: Open):
    multiplexer = open_to(echo_server.port)
    echo_server.may_answer.clear()
    first = asyncio.create_task(multiplexer.execute_command("A"))
    await until(lambda: echo_server.reads)
    second = asyncio.create_task(multiplexer.execute_command("B"))
    echo_server.may_answer.set()
    assert await asyncio.gather(first, second) == [[b"A"], [b"B"]]


async def test_everyone_gets_the_reply_to_his_own_command(redis_stack: Stack, open_to: Open):
    multiplexer = open_to(redis_stack.redis_port)
    values = await asyncio.gather(*(multiplexer.execute_command("ECHO", str(n)) for n in range(200)))
    assert values == [str(n).encode() for n in range(200)]


async def test_an_error_reply_hits_its_own_caller_only(echo_server: EchoServer, open_to: Open):
    multiplexer = open_to(echo_server.port)
    calls = [multiplexer.execute_command(name) for name in ("A", "BAD", "C")]
    first, bad, last = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, last) == ([b"A"], [b"C"])
    assert isinstance(bad, ResponseError)


async def test_an_error_reply_is_the_error_that_redis_py_makes_of_it(redis_stack: Stack, open_to: Open):
    with pytest.raises(NoScriptError):
        await open_to(redis_stack.redis_port).execute_command("EVALSHA", "0" * 40, 0)


async def test_an_argument_redis_cannot_take_hits_its_own_caller_only(echo_server: EchoServer, open_to: Open):
    multiplexer = open_to(echo_server.port)
    calls = [multiplexer.execute_command("A", word) for word in ("\ud800", "good")]
    bad, good = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(bad, UnicodeEncodeError)
    assert good == [b"A", b"good"]


async def test_a_cut_connection_is_not_noticed_by_callers(echo_server: EchoServer, open_to: Open):
    multiplexer = open_to(echo_server.port)
    echo_server.breaks = 2
    replies = await asyncio.gather(*(multiplexer.execute_command("A", n) for n in range(3)))
    assert replies == [[b"A", b"%d" % n] for n in range(3)]
    assert echo_server.connections == 3


async def test_a_connection_that_redis_has_closed_is_opened_again(
    redis_stack: Stack, redis: Redis, open_to: Open
):
    multiplexer = open_to(redis_stack.redis_port)
    await multiplexer.execute_command("SET", "jobs:record:x", "1")
    assert await redis.execute_command("CLIENT", "KILL", "SKIPME", "yes") >= 1
    assert await multiplexer.execute_command("GET", "jobs:record:x") == b"1"


async def test_without_patience_a_cut_is_told_at_once(echo_server: EchoServer, open_to: Open):
    multiplexer = open_to(echo_server.port, patience=0.0)
    echo_server.breaks = 1
    with pytest.raises(RedisConnectionError):
        await multiplexer.execute_command("A")
    assert await multiplexer.execute_command("B") == [b"B"]


async def test_a_redis_that_breaks_off_for_ever_is_given_up(echo_server: EchoServer, open_to: Open):
    multiplexer = open_to(echo_server.port, patience=0.2)
    echo_server.breaks = 1000
    with pytest.raises(RedisConnectionError):
        await multiplexer.execute_command("A")
    echo_server.breaks = 0
    assert await multiplexer.execute_command("B") == [b"B"]


async def test_a_late_reply_is_not_taken_for_the_reply_to_another(echo_server: EchoServer, open_to: Open):
    multiplexer = open_to(echo_server.port, timeout=0.1, patience=0.0)
    echo_server.may_answer.clear()
    with pytest.raises(TimeoutError):
        await multiplexer.execute_command("A")
    echo_server.may_answer.set()
    assert await multiplexer.execute_command("B") == [b"B"]
    assert echo_server.connections == 2


async def test_a_reply_that_nobody_needs_may_be_an_error_or_be_lost(echo_server: EchoServer, open_to: Open):
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    multiplexer = open_to(echo_server.port)
    multiplexer.tell("A")  # there is no connection: it is dropped
    assert await multiplexer.execute_command("B") == [b"B"]
    multiplexer.tell("BAD")
    assert await multiplexer.execute_command("C") == [b"C"]
    echo_server.breaks = 1
    multiplexer.tell("D")
    await until(lambda: not echo_server.open)
    assert await multiplexer.execute_command("E") == [b"E"]
    gc.collect()
    assert reports == []


async def test_a_redis_that_is_away_is_given_up_within_two_seconds(open_to: Open):
    queue = JobQueue(open_to(free_port()), RETENTION, max_waiting=1)
    assert await seconds_until_given_up(queue.get("a")) < 2


async def test_a_redis_that_says_nothing_is_given_up_within_two_seconds_by_everyone(
    echo_server: EchoServer, open_to: Open
):
    queue = JobQueue(open_to(echo_server.port), RETENTION, max_waiting=1)
    echo_server.may_answer.clear()
    first = asyncio.create_task(seconds_until_given_up(queue.get("a")))
    await until(lambda: echo_server.reads)
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


async def test_a_caller_who_leaves_disturbs_nobody(echo_server: EchoServer, open_to: Open):
    multiplexer = open_to(echo_server.port)
    echo_server.may_answer.clear()
    leaving, staying = (asyncio.create_task(multiplexer.execute_command(name)) for name in "AB")
    await until(lambda: echo_server.reads)
    leaving.cancel()
    await asyncio.wait([leaving])
    echo_server.may_answer.set()
    assert await staying == [b"B"]
    assert leaving.cancelled()


async def test_a_caller_who_leaves_while_the_connection_opens_disturbs_nobody(
    echo_server: EchoServer, open_to: Open
):
    multiplexer = open_to(echo_server.port)
    leaving, staying = (asyncio.create_task(multiplexer.execute_command(name)) for name in "AB")
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == [b"B"]
    assert echo_server.connections == 1


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
async def test_a_server_that_is_not_the_primary_is_left(echo_server: EchoServer, open_to: Open, text: str):
    multiplexer = open_to(echo_server.port)
    echo_server.errors = [text.encode()]
    assert await multiplexer.execute_command("A") == [b"A"]
    assert echo_server.connections == 2


@pytest.mark.parametrize("text", BUSY)
async def test_a_server_that_can_answer_soon_is_waited_for(echo_server: EchoServer, open_to: Open, text: str):
    multiplexer = open_to(echo_server.port)
    echo_server.errors = [text.encode()] * 2
    assert await multiplexer.execute_command("A") == [b"A"]
    assert echo_server.connections == 1


@pytest.mark.parametrize("text", FINAL)
async def test_a_final_error_is_raised_at_once(echo_server: EchoServer, open_to: Open, text: str):
    multiplexer = open_to(echo_server.port)
    echo_server.errors = [text.encode()]
    with pytest.raises(REDIS_GONE):
        await multiplexer.execute_command("A")
    assert await multiplexer.execute_command("B") == [b"B"]
    assert echo_server.connections == 1


async def test_without_patience_the_next_command_goes_to_another_server(
    echo_server: EchoServer, open_to: Open
):
    multiplexer = open_to(echo_server.port, patience=0.0)
    echo_server.errors = [b"READONLY You can't write."]
    with pytest.raises(ReadOnlyError):
        await multiplexer.execute_command("A")
    assert await multiplexer.execute_command("B") == [b"B"]
    assert echo_server.connections == 2


async def test_a_server_that_is_never_ready_is_left_in_the_end(echo_server: EchoServer, open_to: Open):
    multiplexer = open_to(echo_server.port, patience=0.1)
    assert await multiplexer.execute_command("A") == [b"A"]
    echo_server.errors = [b"LOADING Redis is loading."] * 10
    with pytest.raises(BusyLoadingError):
        await multiplexer.execute_command("B")
    echo_server.errors.clear()
    assert await multiplexer.execute_command("C") == [b"C"]
    assert echo_server.connections == 2


async def test_a_fail_over_is_told_once_the_new_connection_is_open(echo_server: EchoServer, open_to: Open):
    connections: list[int] = []
    multiplexer = open_to(echo_server.port, on_failover=lambda: connections.append(echo_server.connections))
    echo_server.errors = [b"ERR no"]
    echo_server.breaks = 1
    with pytest.raises(ResponseError):
        await multiplexer.execute_command("A")
    assert connections == []  # a cut is no fail-over
    echo_server.errors = [b"READONLY You can't write."]
    assert await multiplexer.execute_command("A") == [b"A"]
    assert connections == [3]


async def test_a_fail_over_is_told_even_if_the_server_hangs_up_at_once(
    echo_server: EchoServer, open_to: Open, monkeypatch: pytest.MonkeyPatch
):
    """As a primary does with blocked clients; error and end may arrive in one turn of the event loop."""
    failovers: list[bool] = []
    multiplexer = open_to(echo_server.port, patience=0.0, on_failover=lambda: failovers.append(True))
    assert await multiplexer.execute_command("A") == [b"A"]
    connection = multiplexer._current
    assert connection is not None
    receive = connection.data_received

    def receive_and_end(data: bytes) -> None:
        receive(data)
        connection.connection_lost(None)

    monkeypatch.setattr(connection, "data_received", receive_and_end)
    echo_server.errors = [b"UNBLOCKED force unblock from blocking operation"]
    with pytest.raises(ResponseError):
        await multiplexer.execute_command("BLPOP")
    assert await multiplexer.execute_command("B") == [b"B"]
    assert failovers == [True]


async def test_a_renewed_connection_is_opened_again_for_those_who_wait(
    echo_server: EchoServer, open_to: Open
):
    multiplexer = open_to(echo_server.port)
    echo_server.may_answer.clear()
    waiting = asyncio.create_task(multiplexer.execute_command("A"))
    await until(lambda: echo_server.reads)
    multiplexer.renew()
    echo_server.may_answer.set()
    assert await waiting == [b"A"]
    assert echo_server.connections == 2


async def test_a_connection_that_opens_during_the_renewal_is_renewed_too(
    echo_server: EchoServer, open_to: Open
):
    """Its server may have been the primary when it was asked for its role."""
    multiplexer = open_to(echo_server.port)
    echo_server.may_greet.clear()
    waiting = asyncio.create_task(multiplexer.execute_command("A"))
    await until(lambda: echo_server.connections)
    multiplexer.renew()
    echo_server.may_greet.set()
    assert await waiting == [b"A"]
    assert echo_server.connections == 2


async def test_a_renewal_does_not_wait_for_a_server_that_greets_nobody(echo_server: EchoServer):
    """A frozen primary accepts connections, and holds up all callers until it is given up."""
    client = connect(f"redis://127.0.0.1:{echo_server.port}/0", read_timeout=LONG)
    multiplexer = Multiplexer(client, timeout=LONG, patience=LONG)
    echo_server.may_greet.clear()
    waiting = asyncio.create_task(multiplexer.execute_command("A"))
    await until(lambda: echo_server.connections == 1)
    multiplexer.renew()
    await until(lambda: echo_server.connections == 2)
    echo_server.may_greet.set()
    assert await waiting == [b"A"]
    await multiplexer.aclose()


@pytest.mark.parametrize("turns", range(6))
async def test_a_renewal_is_heard_in_each_turn_of_the_event_loop(
    echo_server: EchoServer, monkeypatch: pytest.MonkeyPatch, turns: int
):
    """Before Python 3.12 `asyncio.wait_for`, in redis-py, swallows a cancellation in some of them."""
    open_connection, opened = Connection._connect, asyncio.Event()

    async def open_and_tell(self: Connection) -> None:
        await open_connection(self)
        opened.set()

    monkeypatch.setattr(Connection, "_connect", open_and_tell)
    client = connect(f"redis://127.0.0.1:{echo_server.port}/0", read_timeout=LONG)
    multiplexer = Multiplexer(client, timeout=LONG, patience=LONG)
    echo_server.may_greet.clear()
    waiting = asyncio.create_task(multiplexer.execute_command("A"))
    await opened.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    multiplexer.renew()
    await until(lambda: echo_server.connections == 2)
    echo_server.may_greet.set()
    assert await waiting == [b"A"]
    await multiplexer.aclose()


def test_a_connection_that_ends_while_it_opens_is_opened_again(monkeypatch: pytest.MonkeyPatch):
    """On the event loop of the processes, which refuses to write to a connection whose end was seen."""
    greet, ends = module._refuse_replica, [True]

    async def greet_and_end(connection: AbstractConnection) -> None:
        await greet(connection)
        if ends:
            ends.pop()
            connection._writer.transport.abort()
            await until(connection._reader.at_eof)  # the client that has opened it hears of the end

    monkeypatch.setattr(module, "_refuse_replica", greet_and_end)

    async def ask() -> object:
        async with echo_serving() as server:
            multiplexer = Multiplexer(connect(f"redis://127.0.0.1:{server.port}/0"))
            try:
                return await multiplexer.execute_command("A"), server.connections
            finally:
                await multiplexer.aclose()

    assert uvloop.run(ask()) == ([b"A"], 2)


async def test_a_connection_that_is_closed_and_has_not_told_so_is_given_up(open_to: Open, redis_stack: Stack):
    """uvloop refuses a write to it: the call is repeated on another connection."""

    class Closed:
        def write(self, _: bytes) -> None:
            raise RuntimeError("the handler is closed")

    multiplexer = open_to(redis_stack.redis_port)
    assert await multiplexer.execute_command("ECHO", "a") == b"a"
    assert multiplexer._current is not None
    multiplexer._current._transport = Closed()  # type: ignore[assignment]
    multiplexer.tell("PING")
    assert await multiplexer.execute_command("ECHO", "b") == b"b"
    multiplexer._current._transport = Closed()
    assert await multiplexer.execute_command("ECHO", "c") == b"c"
