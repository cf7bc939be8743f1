"""Sentinels that are dead, hang, lie or ask for a password; the news of another primary."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
from redis.exceptions import AuthenticationError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError

from api.redis_connections import OwnConnections
from api.settings import ApiSettings
from dev.stack import PATIENCE, free_port
from shared.store import sentinels as module
from shared.store.client import connect, sentinels_of
from shared.store.multiplexer import Multiplexer
from shared.store.replicated_writes import ReplicatedSubmissions
from shared.store.sentinels import Sentinels, UnknownService
from tests.certificates import certificate
from tests.integration.echo_server import until
from tests.integration.redis_double import Command, RedisDouble, Reply, ServiceDouble, serving

PRIMARY = ("127.0.0.1", 7)


@pytest.fixture
def service() -> ServiceDouble:
    service = ServiceDouble()
    service.primary = PRIMARY[1]
    return service


@pytest.fixture
async def sentinel(service: ServiceDouble) -> AsyncIterator[RedisDouble]:
    async with serving(service.answer_of_sentinel) as sentinel:
        yield sentinel


def url_of(*ports: int, options: str = "") -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"redis+sentinel://{hosts}/jobs{options}"


def sentinels_at(*ports: int, options: str = "") -> Sentinels:
    found = sentinels_of(connect(url_of(*ports, options=options)))
    assert found is not None
    return found


@asynccontextmanager
async def watching(sentinels: Sentinels) -> AsyncIterator[list[int]]:
    """The calls of `on_change` so far, within the block."""
    changes: list[int] = []
    task = asyncio.create_task(sentinels.watch(lambda: changes.append(len(changes))))
    yield changes
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def subscriptions(sentinel: RedisDouble) -> int:
    return sum(name == "SUBSCRIBE" for name, *_ in sentinel.commands)


async def test_a_dead_sentinel_holds_up_nothing(sentinel: RedisDouble):
    assert await sentinels_at(free_port(), sentinel.port).primary() == PRIMARY


async def test_a_sentinel_that_hangs_holds_up_nothing(
    service: ServiceDouble, sentinel: RedisDouble, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ASK_SECONDS", PATIENCE)
    async with serving(service.answer_of_sentinel) as hanging:
        hanging.hanging = True
        async with asyncio.timeout(PATIENCE / 2):
            assert await sentinels_at(hanging.port, sentinel.port).primary() == PRIMARY


@asynccontextmanager
async def web_server() -> AsyncIterator[tuple[int, list[str]]]:
    """The port of a server that does not speak Redis' protocol, and its connections so far."""
    opened: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append("one more")
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with suppress(ConnectionError):
            await reader.read()  # until the client hangs up: else it might see a reset in place of the answer
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], opened


async def test_a_server_that_is_no_sentinel_holds_up_nothing(sentinel: RedisDouble):
    sentinel.held = {"SENTINEL"}
    async with web_server() as (port, opened):
        asking = asyncio.create_task(sentinels_at(port, sentinel.port).primary())
        await until(lambda: opened and sentinel.commands)
        sentinel.may_answer.set()
        assert await asking == PRIMARY


async def test_sentinels_that_all_hang_are_given_up(sentinel: RedisDouble, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "ASK_SECONDS", 0.05)
    sentinel.hanging = True
    with pytest.raises(RedisConnectionError, match="No Sentinel answers"):
        await sentinels_at(sentinel.port, free_port()).primary()


async def test_a_service_that_no_sentinel_knows_is_told(service: ServiceDouble, sentinel: RedisDouble):
    service.primary = 0
    with pytest.raises(UnknownService, match="'jobs'"):
        await sentinels_at(free_port(), sentinel.port).primary()


async def test_a_sentinel_gets_its_own_password(service: ServiceDouble, sentinel: RedisDouble):
    service.password = "hunter2"
    assert await sentinels_at(sentinel.port, options="?sentinel_password=hunter2").primary() == PRIMARY
    for options in ("?sentinel_password=wrong", ""):
        with pytest.raises(AuthenticationError):
            await sentinels_at(sentinel.port, options=options).primary()


async def test_a_view_is_of_one_sentinel(service: ServiceDouble, sentinel: RedisDouble):
    view = await sentinels_at(free_port(), sentinel.port).view()
    assert view.primary == PRIMARY
    assert [replica["master-link-status"] for replica in view.replicas] == ["ok", "ok"]


async def test_a_replica_that_a_sentinel_names_as_the_primary_gets_no_command(
    service: ServiceDouble, sentinel: RedisDouble
):
    def answer_of_replica(command: Command) -> Reply:
        return ["slave", "127.0.0.1", 1, "connected", 0] if command == ["ROLE"] else "PONG"

    async with serving(answer_of_replica) as replica, serving(service.answer_of_server) as primary:
        service.primary = replica.port
        multiplexer = Multiplexer(connect(url_of(sentinel.port)), patience=0.0)
        with pytest.raises(ReadOnlyError):
            await multiplexer.execute_command("SET", "a", 1)
        assert all(name in ("ROLE", "PING", "CLIENT") for name, *_ in replica.commands)
        service.primary = primary.port
        assert await multiplexer.execute_command("SET", "a", 1) == b"OK"
        assert multiplexer.peer == ("127.0.0.1", primary.port)
        await multiplexer.aclose()


async def test_a_change_is_told_whichever_sentinel_says_so(service: ServiceDouble, sentinel: RedisDouble):
    async with (
        serving(service.answer_of_sentinel) as second,
        watching(sentinels_at(free_port(), sentinel.port, second.port)) as changes,
    ):
        await until(lambda: subscriptions(sentinel) and subscriptions(second))
        second.push(["message", "+switch-master", "others 127.0.0.1 1 127.0.0.1 2"])
        second.push(["message", "+switch-master", "jobs 127.0.0.1 1 127.0.0.1 2"])
        await until(lambda: changes)
        assert changes == [0]


async def test_a_sentinel_that_was_lost_is_heard_again(sentinel: RedisDouble):
    async with watching(sentinels_at(sentinel.port)) as changes:
        await until(lambda: subscriptions(sentinel) == 1)
        sentinel.cut()
        await until(lambda: subscriptions(sentinel) == 2)
        sentinel.push(["message", "+switch-master", "jobs 127.0.0.1 1 127.0.0.1 2"])
        await until(lambda: changes)


async def test_a_server_that_is_no_sentinel_ends_no_watch(
    sentinel: RedisDouble, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    async with web_server() as (port, opened), watching(sentinels_at(port, sentinel.port)) as changes:
        await until(lambda: len(opened) > 1 and subscriptions(sentinel))
        sentinel.push(["message", "+switch-master", "jobs 127.0.0.1 1 127.0.0.1 2"])
        await until(lambda: changes)


async def test_the_name_of_another_service_ends_no_watch(sentinel: RedisDouble):
    async with watching(sentinels_at(sentinel.port)) as changes:
        await until(lambda: subscriptions(sentinel))
        sentinel.push(["message", "+switch-master", b"\xff 127.0.0.1 1 127.0.0.1 2"])
        sentinel.push(["message", "+switch-master", "jobs 127.0.0.1 1 127.0.0.1 2"])
        await until(lambda: changes)


async def test_a_sentinel_that_dies_in_silence_is_left(
    sentinel: RedisDouble, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.05)
    async with watching(sentinels_at(sentinel.port)):
        await until(lambda: subscriptions(sentinel) == 1)
        await until(lambda: ["PING"] in sentinel.commands)
        sentinel.hanging = True
        await until(lambda: not sentinel.open)
        sentinel.hanging = False
        await until(lambda: subscriptions(sentinel) == 2)


async def test_all_connections_of_an_api_leave_a_former_primary(
    service: ServiceDouble, sentinel: RedisDouble
):
    """That for submissions too, which waits for replicas."""
    async with serving(service.answer_of_server) as former, serving(service.answer_of_server) as present:
        service.primary = former.port
        settings = ApiSettings(redis_url=url_of(sentinel.port), redis_ack_replicas=1)
        connections = OwnConnections(connect(url_of(sentinel.port)), settings, None)
        assert isinstance(connections.submitting, ReplicatedSubmissions)
        multiplexers = [connections.runner, connections.bulk, connections.submitting._connection]
        for multiplexer in multiplexers:
            await multiplexer.execute_command("GET", "a")
            assert multiplexer.peer == ("127.0.0.1", former.port)
        service.primary = present.port
        [watch] = [asyncio.ensure_future(watch) for watch in connections.services]
        await until(lambda: subscriptions(sentinel))
        sentinel.push(["message", "+switch-master", "jobs 127.0.0.1 1 127.0.0.1 2"])
        await until(lambda: not any(multiplexer.peer for multiplexer in multiplexers))
        for multiplexer in multiplexers:
            await multiplexer.execute_command("GET", "a")
            assert multiplexer.peer == ("127.0.0.1", present.port)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await connections.aclose()


async def test_with_tls_sentinels_and_servers_are_reached_through_it(service: ServiceDouble, tmp_path: Path):
    pem = certificate(tmp_path, "localhost")
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    service.password = "hunter2"
    async with (
        serving(service.answer_of_server, context) as primary,
        serving(service.answer_of_sentinel, context) as sentinel,
    ):
        service.primary = primary.port
        options = f"ssl_ca_certs={pem}&ssl_check_hostname=false&sentinel_password=hunter2"
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/jobs?{options}".replace("redis", "rediss", 1)
        multiplexer = Multiplexer(connect(url))
        assert await multiplexer.execute_command("SET", "a", 1) == b"OK"
        assert multiplexer.peer == ("127.0.0.1", primary.port)
        await multiplexer.aclose()
        untrusted = Multiplexer(connect(url.replace(f"ssl_ca_certs={pem}&", "")), patience=0.0)
        with pytest.raises(RedisConnectionError):
            await untrusted.execute_command("SET", "a", 1)
        await untrusted.aclose()
