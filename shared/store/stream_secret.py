"""The secret with which all API processes sign stream tokens."""

from secrets import token_bytes

from shared.store import redis_keys
from shared.store.client import Runner
from shared.store.redis_calls import RedisCalls


class StreamSecret:
    """A secret in Redis, made when it is first needed. To void all tokens, delete its key.

    Args:
        runner: sends commands to Redis.
    """

    def __init__(self, runner: Runner) -> None:
        self._redis = RedisCalls(runner)

    async def read(self) -> bytes:
        """The secret. Raises QueueUnavailable while Redis can't serve it."""
        while (secret := await self._redis.command("GET", redis_keys.STREAM_SECRET)) is None:
            await self._redis.command(
                "SET", redis_keys.STREAM_SECRET, token_bytes(32), "NX"
            )  # one process wins
        return bytes(secret)
