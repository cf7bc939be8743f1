"""Keys that should not be there: outside the table of keys, left over, or without an end of life."""

import re
from collections.abc import Iterator
from typing import Any

from shared.store import redis_keys

FLEETING = (redis_keys.MESSAGE, redis_keys.QUEUE, redis_keys.LEASES, redis_keys.WAKE)
MORTAL = (redis_keys.RECORD, redis_keys.OWNER, redis_keys.WORKER)
ROW = re.compile(r"^\| (?P<key>\S+) +\| (?P<kind>hash|string|zset|set|list) ", re.MULTILINE)


def find(redis: Any) -> tuple[int, list[str]]:
    """How many keys there are once every job has ended, and what is wrong with them."""
    table = [
        (re.compile(re.sub(r"<\w+>", "[^:]+", key)), kind)
        for key, kind in ROW.findall(redis_keys.__doc__ or "")
    ]
    if not table:
        raise RuntimeError("The table of keys was not found.")
    count, wrong = 0, []
    for key, kind, ttl in _all(redis):
        count += 1
        if not any(pattern.fullmatch(key) and kind == wanted for pattern, wanted in table):
            wrong.append(f"{key} ({kind}) is not in the table of keys")
        if key.startswith(FLEETING):
            wrong.append(f"{key} is left over")
        if key.startswith(MORTAL) and ttl == -1:
            wrong.append(f"{key} never expires")
    return count, wrong


def _all(redis: Any) -> Iterator[tuple[str, str, int]]:
    """Every key with its type and its seconds to live; those that expire meanwhile are left out."""
    cursor = -1
    while cursor != 0:
        cursor, found = redis.scan(max(cursor, 0), count=2000)
        pipeline = redis.pipeline(transaction=False)
        for key in found:
            pipeline.type(key)
            pipeline.ttl(key)
        replies = pipeline.execute()
        for key, kind, ttl in zip(found, replies[::2], replies[1::2], strict=True):
            if ttl != -2:
                yield key.decode(), kind.decode(), ttl
