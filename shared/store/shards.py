"""Shards: the runner of commands of a store that is spread over several slots of a cluster.

A command for one job or file goes to the shard that its id names. One about all jobs goes to every shard that
answers, and the replies are merged (`shard_replies`). So the rest of the store does not know of shards.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from zlib import crc32

from redis.exceptions import NoScriptError

from shared.errors import QueueUnavailable
from shared.ids import shard_of
from shared.logging import get_log
from shared.store import redis_keys, scripts
from shared.store.client import REDIS_GONE, Argument, Runner
from shared.store.missing_shards import MissingShards, ShardGone
from shared.store.replica_shortages import ReplicaShortages, is_shortage
from shared.store.rows import CommitRow, GroupRow, PrepareRow
from shared.store.scripts import Script
from shared.store.shard_replies import MERGED_COMMANDS, MERGED_SCRIPTS, Words, by_ids, estimated_position

PING_SECONDS = 0.5  # between two questions to a shard that is away
ID_KEYS = (redis_keys.RECORD, redis_keys.FILE)
FIRST_ID: dict[Script, int] = {  # the place of an id among the words of a script for one shard
    scripts.SUBMIT: 1,
    scripts.PREPARE: len(PrepareRow._fields),
    scripts.COMMIT: len(CommitRow._fields) + len(GroupRow._fields),
    **dict.fromkeys(
        (
            *(scripts.READ, scripts.RESCUE_AND_READ, scripts.LOGS, scripts.OUTPUT, scripts.CANCEL),
            *(scripts.FORGET, scripts.REDELIVER, scripts.FILE_ADD, scripts.FILE_DROP),
        ),
        0,
    ),
}
WITH_POSITION = (scripts.READ, scripts.RESCUE_AND_READ)
EVERY_SHARD = (scripts.PAUSE, scripts.RESUME)
"""Scripts that must reach all shards, or fail."""
HELD = "The change holds on the other shards."

Send = Callable[[int, Words], Awaitable[Any]]

log = get_log(__name__)


class Shards:
    """Sends each command to the shards that it concerns.

    A shard that does not answer is left out of merged replies until it answers a ping. Commands for it alone
    fail as they would without shards.

    Args:
        runners: one for each shard, in the order of their numbers.
        beside: other connections to the same shards, which learn together what shards are away.
        shortages: the shards without their replicas; those of `beside` if it is given.

    Attributes:
        missing: the shards that have not answered lately.
    """

    def __init__(
        self,
        runners: Sequence[Runner],
        beside: "Shards | None" = None,
        *,
        shortages: ReplicaShortages | None = None,
    ) -> None:
        self.missing: MissingShards = beside.missing if beside else MissingShards(len(runners))
        self._shortages: ReplicaShortages = beside._shortages if beside else shortages or ReplicaShortages()
        self._runners = runners
        self._pings: dict[int, asyncio.Task[None]] = beside._pings if beside else {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._runners)

    async def execute_command(self, name: str, *words: Argument) -> Any:
        """The reply to a command, merged if it is that of several shards.

        Raises:
            ShardGone: the shard of the command gave no answer, or none did, or one that must.
        """
        if name in ("EVALSHA", "EVAL"):
            code = words[0]
            script = _scripts()[str(code)]

            async def send(shard: int, rest: Words) -> Any:
                return await self._ask(shard, name, code, 0, *rest)

            return await self._run(script, list(words[2:]), send)
        if (merge := MERGED_COMMANDS.get(name)) is not None:
            return merge(await self._ask_all(lambda shard: self._ask(shard, name, *words)))
        if name in ("PING", "TIME"):
            return await self._ask_any(name)
        key = str(words[0])
        shard = shard_of(key, len(self)) if key.startswith(ID_KEYS) else 0
        return await self._ask(shard, name, *words)

    def next_in_turn(self) -> int:
        """The next shard for a job that may be on any.

        One that answers and has its replicas, if any does; else one that answers.
        """
        missing = self.missing.numbers
        for avoided in (missing | self._shortages.numbers, missing):
            for step in range(1, len(self) + 1):
                if (turn := (self._turn + step) % len(self)) not in avoided:
                    self._turn = turn
                    return turn
        self._turn = (self._turn + 1) % len(self)
        return self._turn

    def of_name(self, name: str) -> int:
        """The shard of things that must meet: those with the same name, as an idempotency key."""
        return crc32(name.encode()) % len(self)

    def end_pings(self) -> None:
        """Ask no shard any more whether it is back: this process ends."""
        for ping in self._pings.values():
            ping.cancel()
        self._shortages.end()

    async def _run(self, script: Script, words: Words, send: Send) -> Any:
        if (at := FIRST_ID.get(script)) is not None:
            reply = await send(shard_of(str(words[at]), len(self)), words)
            return estimated_position(reply, len(self)) if script in WITH_POSITION else reply
        if script is scripts.RATE:
            return await send(self.of_name(str(words[0])), words)
        if script is scripts.CANCEL_ALL:
            return await by_ids(words, 4, len(self), send, nested=True)
        if script is scripts.RECORDS:
            return await by_ids(words, 2 + int(words[1]), len(self), send)
        if script in EVERY_SHARD:
            return await self._on_every(lambda shard: send(shard, words))
        merge = MERGED_SCRIPTS[script]
        return merge(await self._ask_all(lambda shard: send(shard, words)), words)

    async def _ask(self, shard: int, name: str, *words: Argument) -> Any:
        try:
            return await self._runners[shard].execute_command(name, *words)
        except NoScriptError:
            raise
        except QueueUnavailable as error:  # too few replicas have confirmed a submission
            self._shortages.add(shard, error)
            raise
        except REDIS_GONE as error:
            if is_shortage(error):
                self._shortages.add(shard, error)
                self.missing.note(shard)  # it refuses writes alone: lists still have its jobs
            else:
                self._note_away(shard, error)
            raise ShardGone([shard], len(self), error) from error

    async def _ask_all(self, ask: Callable[[int], Awaitable[Any]]) -> list[Any]:
        """The replies of the shards that answer. Raises ShardGone if none does."""
        missing = self.missing.numbers
        asked = [shard for shard in range(len(self)) if shard not in missing] or range(len(self))
        found = await asyncio.gather(*map(ask, asked), return_exceptions=True)
        errors = gone(found)
        if len(errors) == len(found):
            raise ShardGone(range(len(self)), len(self), errors[0].reason)
        return [reply for reply in found if not isinstance(reply, BaseException)]

    async def _on_every(self, ask: Callable[[int], Awaitable[Any]]) -> Any:
        """The reply of the first shard, once all have answered. Raises ShardGone unless all do."""
        found = await asyncio.gather(*map(ask, range(len(self))), return_exceptions=True)
        errors = gone(found)
        if errors:
            shards = [shard for error in errors for shard in error.shards]
            effect = "" if len(errors) == len(self) else HELD
            raise ShardGone(shards, len(self), errors[0].reason, effect)
        return found[0]

    async def _ask_any(self, name: str) -> Any:
        first = min((shard for shard in range(len(self)) if shard not in self.missing.numbers), default=0)
        try:
            return await self._ask(first, name)
        except ShardGone:
            return (await self._ask_all(lambda shard: self._ask(shard, name)))[0]

    def _note_away(self, shard: int, error: Exception) -> None:
        self.missing.add(shard)
        if shard not in self._pings:
            log.warning("a shard is away; its jobs can't be reached", shard=shard, reason=str(error)[:200])
            self._pings[shard] = asyncio.create_task(self._ping(shard))

    async def _ping(self, shard: int) -> None:
        """Ask a shard that is away until it answers."""
        while shard in self.missing.numbers:
            await asyncio.sleep(PING_SECONDS)
            try:
                await self._runners[shard].execute_command("PING")
                self.missing.numbers.discard(shard)
            except REDIS_GONE:
                pass
            except Exception:
                log.exception("a ping failed; it is sent again", shard=shard)
        del self._pings[shard]
        log.info("a shard is back", shard=shard)


def gone(found: Sequence[Any]) -> list[ShardGone]:
    """The shards among some replies that gave no answer. Raises any other error."""
    errors = [reply for reply in found if isinstance(reply, BaseException)]
    for error in errors:
        if not isinstance(error, ShardGone):
            raise error
    return [error for error in errors if isinstance(error, ShardGone)]


def _scripts() -> dict[str, Script]:
    """The scripts by SHA and by source."""
    if not _by_code:
        _by_code.update(
            {code: script for script in scripts.EVERY_SCRIPT for code in (script.sha, script.source)}
        )
    return _by_code


_by_code: dict[str, Script] = {}
