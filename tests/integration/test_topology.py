"""The primaries of a cluster: the nodes are asked once for all connections that open at the same time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.store import cluster
from shared.store.cluster import Topology
from tests.integration.echo_server import until
from tests.integration.redis_double import Command, RedisDouble, Reply, serving

FIRST, SECOND = ("10.0.0.1", 6379), ("10.0.0.2", 6379)


class Node:
    """A node that names one primary of all slots."""

    def __init__(self) -> None:
        self.primary = FIRST
        self.server: RedisDouble

    def answer(self, command: Command) -> Reply:
        if command == ["CLUSTER", "NODES"]:
            host, port = self.primary
            return f"0 {host}:{port}@1 master - 0 0 1 connected 0-16383\n"
        return "OK"

    @property
    def asked(self) -> int:
        return self.server.commands.count(["CLUSTER", "NODES"])


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
