"""Shards of a Redis Cluster that do not answer, as the tests of clients and the dashboard need them."""

from collections.abc import Iterator
from contextlib import contextmanager

from dev.cluster import RedisCluster
from dev.service import Service
from dev.stack import wait_until
from shared.store.slots import slot_of, tag_of

SHARDS = 8  # unless REDIS_SHARDS names another number
SOON = 60.0


@contextmanager
def primary_away(cluster: RedisCluster, service: Service) -> Iterator[list[int]]:
    """The shards that do not answer within the block: all those of a primary that does nothing."""
    ports = [cluster.port_of(slot_of(tag_of(shard))) for shard in range(SHARDS)]
    shards = [shard for shard, port in enumerate(ports) if port == ports[0]]
    with cluster.frozen(ports[0]):
        wait_until(lambda: _missing(service) == shards, "the API has missed the shards", seconds=SOON)
        yield shards
    wait_until(lambda: not _missing(service), "all shards answer again", seconds=SOON)


def _missing(service: Service) -> list[int]:
    found: list[int] = service.info()["shards"]["missing"]
    return found
