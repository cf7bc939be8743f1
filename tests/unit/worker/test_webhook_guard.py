"""Whatever a webhook's host is called, no connection is made but to an address that may be reached."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network

import httpcore
import pytest

from shared.errors import FinalError
from worker.execute import JobPostponed
from worker.webhooks.guard import Guard

PUBLIC, PUBLIC_6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1")]


class Door:
    """A listener on loopback, and every address that a connection was asked for."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.asked: list[str] = []

    @property
    def opened(self) -> int:
        """Number of connections since the last call."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()
                count += 1
        return count


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    door, connect = Door(), httpcore.AnyIOBackend.connect_tcp

    async def note(self, host: str, port: int, timeout: float | None = None) -> httpcore.AsyncNetworkStream:
        door.asked.append(host)
        if host.startswith(("127.", "::1")):
            return await connect(self, host, port, timeout)
        raise httpcore.ConnectError("the test lets nothing out")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", note)
    yield door
    door.listener.close()


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch):
    """Let names have these addresses, a list for each time that they are looked up."""

    def resolve(*answers: list[str]) -> list[str]:
        left, asked = list(answers), []

        def answer(host: str, port: int) -> list[tuple]:
            asked.append(host)
            return [(0, 0, 0, "", (address, port)) for address in left.pop(0)]

        monkeypatch.setattr("worker.webhooks.lookups.resolve", answer)
        return asked

    return resolve


SPELLINGS = [
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.1",
    "0x7F.0x0.0x0.0x1", "0177.0.0.1", "017700000001", "0177.0x0.1", "127.0.0.01", "0.0", "0", "0x0",
    "localhost", "LOCALHOST", "ⓛⓞcalhost", "１２７.0.0.1", "127。0。0。1", "127．0．0．1", "①②⑦.0.0.1",
    "::1", "0:0:0:0:0:0:0:1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:0:127.0.0.1",
    "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::127.0.0.1", "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe", "fe80::1", "fec0::1", "fd00:ec2::254", "ff02::1",
    "10.0.0.1", "012.0.0.1", "0xa000001", "172.16.0.1", "192.168.0.1", "169.254.169.254",
    "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1", "192.0.2.1",
    "168.63.129.16", "::ffff:168.63.129.16", "161.26.0.10", "166.9.0.1",
    "224.0.0.1", "240.0.0.1", "255.255.255.255",
]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
async def test_an_address_that_is_not_public_is_blocked_in_every_spelling(host: str, door: Door):
    with pytest.raises((FinalError, httpcore.ConnectError)) as caught:
        await Guard(()).connect_tcp(host, door.port, 5)
    assert getattr(caught.value, "code", "webhook_blocked") == "webhook_blocked"
    assert (door.asked, door.opened) == ([], 0)


@pytest.mark.parametrize("host", ["", "a..b", "a" * 64])
async def test_what_is_no_host_leads_nowhere(host: str, door: Door):
    with pytest.raises((FinalError, httpcore.ConnectError)):
        await Guard(()).connect_tcp(host, door.port, 5)
    assert (door.asked, door.opened) == ([], 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost"])
async def test_the_same_door_opens_when_its_network_is_allowed(host: str, door: Door):
    stream = await Guard(LOOPBACK).connect_tcp(host, door.port, 5)
    await stream.aclose()
    assert door.asked[-1] == "127.0.0.1"
    assert door.opened == 1


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("10.1.2.3", "private"),
        ("169.254.169.254", "link-local"),
        ("::ffff:a01:203", "private"),
        ("fe80::1%lo", "link-local"),
    ],
)
async def test_a_name_that_leads_inside_is_blocked(address: str, kind: str, door: Door, resolve, log_tape):
    resolve([address])
    with pytest.raises(FinalError) as caught:
        await Guard(()).connect_tcp("inside.example", door.port, 5)
    error = caught.value
    assert (error.code, error.retryable) == ("webhook_blocked", False)
    assert error.message == f"The webhook's host 'inside.example' is not public: its address is {kind}."
    assert "WEBHOOK_ALLOWED_NETWORKS" in error.hint
    assert (door.asked, door.opened) == ([], 0)
    (line,) = log_tape.lines("webhook blocked")
    assert (line["host"], line["addresses"]) == ("inside.example", [address])


async def test_of_mixed_addresses_only_those_are_tried_that_may_be_reached(door: Door, resolve):
    resolve(["10.0.0.1", "fd00::1", PUBLIC_6, "127.0.0.1", PUBLIC, "8.8.8.8"])
    with pytest.raises(httpcore.ConnectError):
        await Guard(()).connect_tcp("mixed.example", door.port, 5)
    assert door.asked == [PUBLIC_6, PUBLIC]


async def test_an_address_that_does_not_answer_leaves_its_turn_to_the_next(door: Door, resolve):
    resolve([PUBLIC_6, "127.0.0.1"])
    stream = await Guard(LOOPBACK).connect_tcp("two.example", door.port, 5)
    await stream.aclose()
    assert (door.asked, door.opened) == ([PUBLIC_6, "127.0.0.1"], 1)


async def test_an_address_that_is_silent_leaves_half_of_the_time_to_the_next(
    door: Door, resolve, monkeypatch
):
    connect = httpcore.AnyIOBackend.connect_tcp

    async def wait(self, host: str, port: int, timeout: float | None) -> httpcore.AsyncNetworkStream:
        if host != PUBLIC_6:
            return await connect(self, host, port, timeout)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), timeout)
        raise httpcore.ConnectTimeout

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", wait)
    resolve([PUBLIC_6, "127.0.0.1"])
    stream = await Guard(LOOPBACK).connect_tcp("two.example", door.port, 0.4)
    await stream.aclose()
    assert door.opened == 1


async def test_a_name_is_looked_up_once_for_a_connection_and_judged_each_time(door: Door, resolve):
    lookups = resolve([PUBLIC], ["127.0.0.1"])
    guard = Guard(())
    with pytest.raises(httpcore.ConnectError):
        await guard.connect_tcp("rebinding.example", door.port, 5)
    assert (lookups, door.asked) == (["rebinding.example"], [PUBLIC])
    with pytest.raises(FinalError, match="loopback"):
        await guard.connect_tcp("rebinding.example", door.port, 5)
    assert (door.asked, door.opened) == ([PUBLIC], 0)


async def test_a_name_without_an_address_can_not_be_reached(door: Door, monkeypatch):
    def fail(*_: object) -> list[tuple]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("worker.webhooks.lookups.resolve", fail)
    with pytest.raises(httpcore.ConnectError, match="its name has no address"):
        await Guard(()).connect_tcp("nobody.example", door.port, 5)


async def test_a_name_server_that_does_not_answer_costs_no_more_than_the_timeout(door: Door, monkeypatch):
    over, started = threading.Event(), []

    def hang(host: str, port: int) -> list[tuple]:
        started.append(host)
        over.wait(10)
        return [(0, 0, 0, "", (PUBLIC, port))]

    monkeypatch.setattr("worker.webhooks.lookups.resolve", hang)
    guard = Guard(())
    try:
        for _ in range(3):  # one thread for all of them
            with pytest.raises(httpcore.ConnectTimeout):
                await guard.connect_tcp("slow.example", door.port, 0.05)
        assert started == ["slow.example"]
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5) == "free"
    finally:
        over.set()


async def test_lookups_that_hang_have_a_bound(door: Door, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr("worker.webhooks.lookups.resolve", lambda *_: over.wait(10) and [])
    monkeypatch.setattr("worker.webhooks.lookups.MAX_LOOKUPS", 2)
    guard = Guard(())
    try:
        for name in ("a.example", "b.example"):
            with pytest.raises(httpcore.ConnectTimeout):
                await guard.connect_tcp(name, door.port, 0.05)
        with pytest.raises(JobPostponed):
            await guard.connect_tcp("c.example", door.port, 5)
    finally:
        over.set()


@pytest.mark.parametrize("port", [22, 25, 79, 442, 1024])
async def test_a_port_of_the_system_may_not_be_used_unless_it_is_allowed(port: int, door: Door):
    with pytest.raises(FinalError) as caught:
        await Guard(LOOPBACK).connect_tcp("127.0.0.1", port, 5)
    assert (caught.value.code, door.asked) == ("webhook_blocked", [])
    assert "WEBHOOK_ALLOWED_PORTS" in caught.value.hint
    with pytest.raises(httpcore.ConnectError):  # nothing listens there
        await Guard(LOOPBACK, [port]).connect_tcp("127.0.0.1", port, 5)
    assert door.asked == ["127.0.0.1"]


async def test_sockets_of_the_file_system_are_out_of_reach(tmp_path):
    with pytest.raises(NotImplementedError):
        await Guard(LOOPBACK).connect_unix_socket(str(tmp_path / "socket"))
