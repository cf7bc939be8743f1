"""The primaries of a cluster, as nodes name them; all connections that open at the same time ask once."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from dev.stack import PATIENCE
from shared.store import cluster
from shared.store.cluster import Topology
from tests.integration.echo_server import until
from tests.integration.redis_double import Command, RedisDouble, Reply, serving

FIRST, SECOND = ("10.0.0.1", 6379), ("10.0.0.2", 6379)


class Node:
    """A node that names one primary of all slots."""

    def __init__(self) -> None:
        self.primary = FIRST
        self.reply: Reply = None  # in place of that of the primary
        self.server: RedisDouble

    def answer(self, command: Command) -> Reply:
        if command == ["CLUSTER", "NODES"]:
            host, port = self.primary
            if self.reply is not None:
                return self.reply
            return f"0 {host}:{port}@1 master - 0 0 1 connected 0-16383\n"
        return "OK"

    @property
    def asked(self) -> int:
        return self.server.commands.count(["CLUSTER", "NODES"])


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ASK_SECONDS", PATIENCE)  # a busy machine answers late


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    node = Node()
    async with serving(node.answer) as node.server:
        yield node


@pytest.fixture
def topology(node: Node) -> Topology:
    return Topology([("127.0.0.1", node.server.port)])


async def test_connections_that_open_together_share_one_answer(monkeypatch, node, topology):
    monkeypatch.setattr(cluster, "VIEW_SECONDS", 3600.0)
    found = await asyncio.gather(*(topology.primary_of(slot) for slot in range(20)))
    assert found == [FIRST] * 20
    assert node.asked == 1


async def test_an_old_answer_counts_no_more(monkeypatch, node, topology):
    monkeypatch.setattr(cluster, "VIEW_SECONDS", 3600.0)
    assert await topology.primary_of(0) == FIRST
    node.primary = SECOND
    assert await topology.primary_of(0) == FIRST
    monkeypatch.setattr(cluster, "VIEW_SECONDS", -1.0)
    topology._nodes = topology._seeds  # no node is at the addresses of the primaries
    assert await topology.primary_of(0) == SECOND


async def test_a_caller_that_gives_up_leaves_the_question_to_the_next(node, topology):
    node.server.held = {"CLUSTER"}
    first = asyncio.create_task(topology.primary_of(0))
    second = asyncio.create_task(topology.primary_of(1))
    await until(lambda: node.asked)
    first.cancel()
    node.server.held = set()
    node.server.may_answer.set()
    assert await second == FIRST


# -- lines of CLUSTER NODES


def line(flags: str, place: str = "10.0.0.1:6379@16379", *, epoch: int = 1, slots: str = "0-16383") -> str:
    return f"0 {place} {flags} - 0 0 {epoch} connected {slots}\n"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (line("master"), FIRST),
        (line("myself,master"), FIRST),
        (line("master,fail?"), FIRST),
        (line("master,nofailover"), FIRST),  # cluster-replica-no-failover
        (line("myself,master", ":6379@16379"), ("127.0.0.1", 6379)),  # it does not know its own address
        (line("master", "fd00::1:6379@16379"), ("fd00::1", 6379)),
        (line("master", "10.0.0.1:6379@16379,redis-0.redis"), ("redis-0.redis", 6379)),
        (line("master", "10.0.0.1:6379@16379,,shard-id=1"), FIRST),
        (line("master", slots="0 1-16383 [5->-1]"), FIRST),
    ],
)
async def test_a_node_names_a_primary(node, topology, text, address):
    node.reply = text
    assert await topology.primary_of(0) == address


@pytest.mark.parametrize(
    "text",
    [
        line("master,noaddr", ":0@0", epoch=2),
        line("master,fail", "10.0.0.2:6379@16379", epoch=2),
        line("handshake", "10.0.0.2:6379@16379", slots=""),
        line("slave", "10.0.0.2:6379@16379", epoch=2, slots=""),
        line("master", "10.0.0.2:6379@16379", epoch=2, slots="1-16383"),
    ],
)
async def test_other_lines_do_not_count(node, topology, text):
    node.reply = text + line("master")
    assert await topology.primary_of(0) == FIRST


@pytest.mark.parametrize("reply", ["", "OK", line("master", ""), line("master", slots="?"), b"\xff"])
async def test_a_reply_without_sense_is_as_none(node, topology, reply):
    node.reply = reply
    with pytest.raises(RedisConnectionError, match="No node"):
        await topology.primary_of(0)
    good = Node()
    async with serving(good.answer) as good.server:
        both = Topology([("127.0.0.1", server.port) for server in (node.server, good.server)])
        assert await both.primary_of(0) == FIRST
