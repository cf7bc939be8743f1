"""The warning of an API without keys that other machines can reach."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from api.server import exposure
from api.server.exposure import warn_if_exposed

EVENT = "the API is open to everybody who can reach it"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        yield listener


def listen(listener: socket.socket, host: str) -> None:
    listener.bind((host, 0))
    listener.listen()


async def test_an_address_that_others_can_reach_is_warned_of(listener, log_tape):
    listen(listener, "0.0.0.0")  # noqa: S104  # that is the point
    await warn_if_exposed()
    (line,) = log_tape.lines(EVENT)
    assert (line["level"], line["listens_on"]) == ("warning", ["0.0.0.0"])  # noqa: S104
    assert "API_KEYS" in line["hint"]


async def test_loopback_needs_no_warning(listener, log_tape):
    listen(listener, "127.0.0.1")
    await warn_if_exposed()
    assert log_tape.lines() == []


async def test_the_warning_waits_until_the_server_listens(listener, log_tape, monkeypatch):
    looks = []
    look = exposure._listening_hosts

    def counted() -> set[str]:
        looks.append(1)
        return look()

    monkeypatch.setattr(exposure, "_listening_hosts", counted)
    warning = asyncio.create_task(warn_if_exposed())
    while not looks:
        await asyncio.sleep(0)
    listen(listener, "0.0.0.0")  # noqa: S104
    await warning
    assert len(looks) > 1
    assert len(log_tape.lines(EVENT)) == 1


async def test_a_socket_that_listens_to_nobody_is_no_server(listener, tmp_path, monkeypatch, log_tape):
    monkeypatch.setattr(exposure, "LOOKS", 2)
    listener.bind(("0.0.0.0", 0))  # noqa: S104
    with socket.socket(socket.AF_UNIX) as local, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        datagrams.bind(("0.0.0.0", 0))  # noqa: S104
        await warn_if_exposed()
    assert log_tape.lines() == []


async def test_looking_leaves_every_descriptor_as_it_was(listener):
    listen(listener, "127.0.0.1")
    listener.setblocking(False)
    before = sorted(path.name for path in exposure.DESCRIPTORS.iterdir())
    assert exposure._listening_hosts() == {"127.0.0.1"}
    assert sorted(path.name for path in exposure.DESCRIPTORS.iterdir()) == before
    with pytest.raises(BlockingIOError):
        listener.accept()
