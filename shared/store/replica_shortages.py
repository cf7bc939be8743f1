"""ReplicaShortages: the shards whose primaries have too few replicas for new jobs."""

import asyncio
from collections.abc import Sequence

from shared.logging import get_log
from shared.store.client import REDIS_GONE
from shared.store.multiplexer import Multiplexer
from shared.store.refusals import code_of
from shared.store.replicated_writes import count_confirmed

PROBE_SECONDS = 0.5  # between two probes of a shard

log = get_log(__name__)


class ReplicaProbe:
    """A test whether the primary of a shard takes writes, and its replicas confirm them.

    Each test opens the connection anew, since the primary may have changed.

    Args:
        connection: for the test alone, since a WAIT blocks it.
        least: replicas that must confirm.
        milliseconds: the time in which they must.
    """

    def __init__(self, connection: Multiplexer, *, least: int, milliseconds: int) -> None:
        self._connection = connection
        self._least = least
        self._milliseconds = milliseconds

    async def succeeds(self) -> bool:
        try:
            return await count_confirmed(self._connection, self._least, self._milliseconds) >= self._least
        except REDIS_GONE:
            return False
        finally:
            await self._connection.aclose()


class ReplicaShortages:
    """The shards that lack replicas: new jobs go to others until a probe of the shard succeeds.

    Args:
        probes: one for each shard, in the order of their numbers; none where nobody submits jobs.

    Attributes:
        numbers: the shards that lack replicas now, from 0.
    """

    def __init__(self, probes: Sequence[ReplicaProbe] = ()) -> None:
        self.numbers: set[int] = set()
        self._probes = probes
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def add(self, shard: int, reason: Exception) -> None:
        if not self._probes or shard in self._tasks:
            return
        log.warning("a shard lacks replicas; new jobs go to others", shard=shard, reason=str(reason)[:200])
        self.numbers.add(shard)
        self._tasks[shard] = asyncio.create_task(self._probe(shard))

    def end(self) -> None:
        """Probe no shard any more: this process ends."""
        for task in self._tasks.values():
            task.cancel()

    async def _probe(self, shard: int) -> None:
        """Probe a shard until its replicas confirm."""
        while shard in self.numbers:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                if await self._probes[shard].succeeds():
                    self.numbers.discard(shard)
            except Exception:
                log.exception("a probe failed; it is repeated", shard=shard)
        del self._tasks[shard]
        log.info("a shard has its replicas again", shard=shard)


def is_shortage(error: Exception) -> bool:
    """Whether Redis has refused a write for lack of replicas (`min-replicas-to-write`)."""
    return code_of(error) == "NOREPLICAS"
