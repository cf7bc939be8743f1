"""A runner of commands in which one command of a script fails."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from chaos.failing_script import with_failing_command
from shared.store.scripts import Script


@dataclass
class FailingRunner:
    """Runner of commands in which the n-th call of one script fails once.

    Attributes:
        failing: the script and the number of its call, until it has failed.
    """

    redis: Redis
    failing: tuple[Script, int] | None = None

    async def execute_command(self, name: str, *words: Any) -> Any:
        if self.failing and name in ("EVALSHA", "EVAL"):
            script, number = self.failing
            if words[0] in (script.sha, script.source):
                self.failing = None
                return await self.redis.execute_command(
                    "EVAL", with_failing_command(script, number), *words[1:]
                )
        return await self.redis.execute_command(name, *words)
