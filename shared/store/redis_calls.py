"""Calls to Redis, whose errors become QueueUnavailable."""

from typing import Any

from shared.store.client import REDIS_GONE, Argument, Runner
from shared.store.missing_shards import unavailable
from shared.store.scripts import Script


class RedisCalls:
    """Commands and scripts, sent by a client, or by a `Multiplexer`, which is faster.

    Each raises QueueUnavailable while Redis can't serve it.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def run(self, script: Script, *words: Argument) -> Any:
        try:
            return await script.run(self._runner, *words)
        except REDIS_GONE as error:
            raise unavailable(error) from error

    async def command(self, name: str, *words: Argument) -> Any:
        try:
            return await self._runner.execute_command(name, *words)
        except REDIS_GONE as error:
            raise unavailable(error) from error

    async def hash(self, key: str) -> dict[bytes, bytes]:
        reply = await self.command("HGETALL", key)
        return reply if isinstance(reply, dict) else as_dict(reply)  # redis-py makes a dict of it itself

    async def now(self) -> int:
        """Milliseconds since the epoch by Redis' clock, by which all times in the store are."""
        seconds, microseconds = await self.command("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000


def as_dict(pairs: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
