"""Slots of a Redis Cluster, and the hash tag of each shard, which keeps its keys in one slot."""

from functools import cache

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

MOST_SHARDS = 64  # the shard's number is a byte of each id


@cache
def tag_of(shard: int) -> str:
    """The hash tag of a shard. The tags of the first 2, 4, 8, … shards have slots that are spread evenly.

    The tag of a shard does not depend on the number of shards: adding one leaves the others where they are.
    """
    bits = MOST_SHARDS.bit_length() - 1
    place = int(f"{shard:0{bits}b}"[::-1], 2)  # 0, 1/2, 1/4, 3/4, 1/8, … of all slots
    first, last = place * SLOTS // MOST_SHARDS, (place + 1) * SLOTS // MOST_SHARDS
    number = 0
    while not first <= key_slot(b"j%d" % number) < last:
        number += 1
    return f"{{j{number}}}"


def slot_of(tag: str) -> int:
    """The slot of all keys with this tag."""
    return key_slot(tag.encode())
