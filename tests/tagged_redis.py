"""A client of one shard of a Redis Cluster: tests name keys without their tag, as they do without shards."""

import asyncio
from typing import Any, Self

from redis.asyncio import Redis

from shared.store.scripts import EVERY_SCRIPT, sha_of, tagged
from shared.store.tags import tagged_command

STRICT = "#!lua\n"  # Redis then refuses keys outside of the slot of the declared key


SOURCES = [tagged(script.source) for script in EVERY_SCRIPT]
STRICT_SHAS = {sha_of(source): sha_of(STRICT + source) for source in SOURCES}


class TaggedRedis(Redis):
    """A client that puts a tag before the keys of commands, and takes it off those that Redis names.

    Scripts run with `#!lua`, so that one which leaves its slot fails.
    """

    tag = ""

    async def execute_command(self, name: str, *words: Any, **options: Any) -> Any:  # type: ignore[override]
        name, *rest = name.split(" ")
        words = (*rest, *words)
        if name == "SCAN":
            return await self._scan(*words)
        if name in ("EVAL", "EVALSHA"):
            _, source, *rest = tagged_command(self.tag, name, words)
            source = STRICT_SHAS.get(source, source) if name == "EVALSHA" else STRICT + str(source)
            return await super().execute_command(name, source, *rest, **options)
        if name == "KEYS":
            found = await super().execute_command(name, f"{self.tag}{words[0]}")
            return [key.removeprefix(self.tag.encode()) for key in found]
        if name in ("FLUSHALL", "SCRIPT", "CONFIG", "INFO"):
            return await super().execute_command(name, *words, **options)
        return await super().execute_command(*tagged_command(self.tag, name, words), **options)

    async def _scan(self, cursor: Any, *words: Any) -> Any:
        given = dict(zip(words[::2], words[1::2], strict=True))
        pattern = given.pop(b"MATCH", "*")
        rest = [word for pair in given.items() for word in pair]
        cursor, found = await super().execute_command("SCAN", cursor, "MATCH", f"{self.tag}{pattern}", *rest)
        return cursor, [key.removeprefix(self.tag.encode()) for key in found]

    def pubsub(self, **_: Any) -> Any:
        return _ShardedSubscription(self)


class _ShardedSubscription:
    """A subscription by SSUBSCRIBE, with the methods of redis-py's that the tests use."""

    def __init__(self, redis: TaggedRedis) -> None:
        self._redis = redis

    async def __aenter__(self) -> Self:
        self._connection = await self._redis.connection_pool.get_connection()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.disconnect()
        await self._redis.connection_pool.release(self._connection)

    async def subscribe(self, channel: str) -> None:
        await self._connection.send_command("SSUBSCRIBE", self._redis.tag + channel)

    async def get_message(self, timeout: float) -> dict[str, Any] | None:
        """The next message; None for the reply to a subscription, or without a message in time."""
        try:
            async with asyncio.timeout(timeout):
                kind, _, data = await self._connection.read_response()
        except TimeoutError:
            return None
        return {"data": data} if kind == b"smessage" else None
