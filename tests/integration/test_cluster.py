"""Connections to a shard of a cluster: they find its primary, also after a fail-over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from dev.cluster import RedisCluster, clustered
from dev.stack import free_port
from shared.errors import QueueUnavailable
from shared.record import JobState
from shared.store.changes import Changes
from shared.store.client import REDIS_GONE, connect
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from shared.store.slots import slot_of, tag_of
from tests.new_jobs import RETENTION, new_job

SOON = 30.0
SHARD = tag_of(3)  # that of the fixture `cluster_redis`


def client_of(cluster: RedisCluster, shard: int) -> ArqRedis:
    return connect(cluster.url, shard=shard)


@pytest.fixture
async def multiplexer(redis_cluster: RedisCluster, cluster_redis: Redis) -> AsyncIterator[Multiplexer]:
    """A connection to the shard of `cluster_redis`."""
    multiplexer = Multiplexer(client_of(redis_cluster, 3))
    yield multiplexer
    await multiplexer.aclose()


async def test_jobs_of_a_shard_have_its_tag(redis_cluster: RedisCluster, multiplexer: Multiplexer):
    queue = JobQueue(multiplexer, RETENTION, max_waiting=10)
    await queue.submit(new_job("a", idempotency_key="key"))
    assert (await queue.get("a")).state is JobState.PENDING
    node: Redis = Redis(port=redis_cluster.port_of(slot_of(SHARD)))
    keys = await node.keys()
    await node.aclose()
    assert f"{SHARD}jobs:record:a".encode() in keys
    assert f"{SHARD}jobs:idempotency:-:key".encode() in keys
    assert all(key.startswith(SHARD.encode()) for key in keys)


async def test_shards_of_all_primaries_are_reached(redis_cluster: RedisCluster, cluster_redis: Redis):
    ports = set()
    for shard in range(8):
        tag = tag_of(shard)
        multiplexer = Multiplexer(client_of(redis_cluster, shard))
        queue = JobQueue(multiplexer, RETENTION, max_waiting=10)
        await queue.submit(new_job(f"job-{shard}"))
        assert (await queue.state_counts())[JobState.PENDING] == 1
        ports.add(redis_cluster.port_of(slot_of(tag)))
        await multiplexer.aclose()
    assert ports == set(redis_cluster.ports)


async def test_a_key_of_another_shard_fails_even_on_the_same_node(
    redis_cluster: RedisCluster, cluster_redis: Redis
):
    neighbour = tag_of(7)
    assert redis_cluster.port_of(slot_of(neighbour)) == redis_cluster.port_of(slot_of(SHARD))
    with pytest.raises(ResponseError, match="same slot"):
        await cluster_redis.execute_command("EVAL", f"return redis.call('GET', '{neighbour}a')", 0)


async def test_a_change_wakes_a_watch(redis_cluster: RedisCluster, multiplexer: Multiplexer):
    changes = Changes(client_of(redis_cluster, 3))
    queue = JobQueue(multiplexer, RETENTION, max_waiting=10)
    await queue.submit(new_job("a"))
    async with changes.watch("a") as watch:
        await queue.cancel("a")
        assert await watch.changed(within=SOON)
    await changes.aclose()


async def test_one_reachable_node_is_enough_to_find_the_others(
    redis_cluster: RedisCluster, cluster_redis: Redis
):
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{redis_cluster.ports[0]}"
    for shard in range(4):
        client = connect(url, shard=shard)
        assert await client.ping()
        await client.aclose(close_connection_pool=True)


async def test_without_a_node_the_queue_is_unavailable():
    client = connect(f"redis+cluster://127.0.0.1:{free_port()}")
    queue = JobQueue(Multiplexer(client), RETENTION, max_waiting=10)
    with pytest.raises(QueueUnavailable, match="answer"):
        await queue.ping()


async def test_a_connection_finds_the_new_primary_after_a_fail_over():
    with clustered(replicas=True) as cluster:
        tag = tag_of(0)
        multiplexer = Multiplexer(client_of(cluster, 0))
        queue = JobQueue(multiplexer, RETENTION, max_waiting=10)
        await queue.submit(new_job("a"))
        cluster.await_replicas()
        cluster.kill(cluster.port_of(slot_of(tag)))
        async with asyncio.timeout(SOON):
            while True:
                with suppress(QueueUnavailable, *REDIS_GONE):
                    record = await queue.get("a")
                    break
        assert record.state is JobState.PENDING  # read from the replica: the primary is dead
        await multiplexer.aclose()
