"""Leftover keys: keys in Redis that should not be there once every job has ended."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from shared.store import redis_keys

FLEETING = (redis_keys.MESSAGE, redis_keys.QUEUE, redis_keys.LEASES, redis_keys.WAKE)
EXPIRING = (redis_keys.RECORD, redis_keys.OWNER, redis_keys.WORKER, redis_keys.RATE)
TABLE_ROW = re.compile(r"^\| (?P<key>\S+) +\| (?P<kind>hash|string|zset|set|list) ", re.MULTILINE)
NEVER, GONE = -1, -2  # times to live, as Redis answers them


class KeyFound(NamedTuple):
    """A key with its type and its time to live in seconds."""

    name: str
    kind: str
    ttl: int


def find_leftovers(redis: Any) -> tuple[int, list[str]]:
    """Number of keys in Redis, and a text for each that should not be there as it is."""
    keys = list(scan(redis))
    return len(keys), judge(keys)


def judge(keys: Iterable[KeyFound]) -> list[str]:
    """A text for each key that is outside the table of keys, left over, or without an expiry."""
    table = [
        (re.compile(re.sub(r"<\w+>", "[^:]+", pattern)), kind)
        for pattern, kind in TABLE_ROW.findall(redis_keys.__doc__ or "")
    ]
    if not table:
        raise RuntimeError("The table of keys was not found; look at the docstring of redis_keys.py.")
    texts = []
    for name, kind, ttl in keys:
        if not any(pattern.fullmatch(name) and kind == expected for pattern, expected in table):
            texts.append(f"{name} ({kind}) is not in the table of keys")
        if name.startswith(FLEETING):
            texts.append(f"{name} is left over")
        if name.startswith(EXPIRING) and ttl == NEVER:
            texts.append(f"{name} never expires")
    return texts


def scan(redis: Any) -> Iterator[KeyFound]:
    """Every key in Redis; keys that expire meanwhile are left out."""
    cursor = -1
    while cursor != 0:
        cursor, names = redis.scan(max(cursor, 0), count=2000)
        pipeline = redis.pipeline(transaction=False)
        for name in names:
            pipeline.type(name)
            pipeline.ttl(name)
        replies = pipeline.execute()
        for name, kind, ttl in zip(names, replies[::2], replies[1::2], strict=True):
            if ttl != GONE:
                yield KeyFound(name.decode(), kind.decode(), ttl)
