"""Watches over records: all changes that a process waits for, over one connection to Redis."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from arq.connections import ArqRedis

from shared.errors import QueueUnavailable
from shared.ids import shard_of
from shared.logging import get_log
from shared.store import redis_keys
from shared.store.client import REDIS_GONE
from shared.store.multiplexer import Multiplexer

PING_SECONDS = 10.0  # the longest time for which a connection that has died in silence goes unnoticed
AT_ONCE = 200  # calls: few enough for this process to see their answers in time, however many wait
SILENCE_SECONDS = 5.0  # after which a connection is given up
PATIENCE_SECONDS = 1.5  # of a request for a watch
DONE = b" done"

log = get_log(__name__)


class Watch:
    """A watch over one record.

    Attributes:
        over: true once the wait has no use: the client has left, or this process ends.
    """

    def __init__(self, *, only_done: bool) -> None:
        self.over = False
        self.only_done = only_done
        self._changed = asyncio.Event()

    async def changed(self, *, within: float | None = None) -> bool:
        """Wait for a change since the last call; False if `within` seconds pass without one."""
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def wake(self) -> None:
        self._changed.set()

    def end(self) -> None:
        self.over = True
        self._changed.set()


class Changes:
    """Wakes watches when Redis publishes a change of their record.

    A lost connection is opened again, and every watch is woken, because it may have missed a change.

    Attributes:
        turns: held during a call to Redis. When many watches are woken at once, thousands want to call at the
            same moment; without turns the last of them would get no answer within their time.
    """

    def __init__(self, redis: ArqRedis) -> None:
        self.turns = asyncio.Semaphore(AT_ONCE)
        self._lost = asyncio.Event()
        # Patient: with the connection all subscriptions are lost. A pause of this process, such as garbage
        # collection makes among thousands of watches, must not look like a silent Redis.
        self._runner = Multiplexer(
            redis, timeout=SILENCE_SECONDS, on_message=self._hear, on_loss=self._lost.set
        )
        self._watches: dict[bytes, set[Watch]] = {}
        self._closed = False
        self._guard: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watch(self, job_id: str, *, only_done: bool = False) -> AsyncIterator[Watch]:
        """Open a watch over the job's record; changes from now on wake it.

        Args:
            only_done: wake it only by the end of the job.

        Raises:
            QueueUnavailable: Redis can't be reached.
        """
        channel, watch = (redis_keys.CHANGES + job_id).encode(), Watch(only_done=only_done)
        watch.over = self._closed
        self._watches.setdefault(channel, set()).add(watch)
        try:
            async with self.turns:
                await self._ask("SUBSCRIBE", channel, within=PATIENCE_SECONDS)
            if self._guard is None:
                self._guard = asyncio.create_task(self._keep_listening())
            yield watch
        finally:
            self._watches[channel].discard(watch)
            if not self._watches[channel]:
                del self._watches[channel]
                self._runner.tell("UNSUBSCRIBE", channel)

    def end_all(self) -> None:
        """End every watch, and those that are opened later: this process is about to end."""
        self._closed = True
        for watches in self._watches.values():
            for watch in watches:
                watch.end()

    def renew(self) -> None:
        """Listen on a new connection: the old one leads to a former primary, which may publish no change."""
        self._runner.renew()

    async def aclose(self) -> None:
        self.end_all()
        if self._guard is not None:
            self._guard.cancel()
        await self._runner.aclose()

    async def _ask(self, command: str, *words: bytes, within: float | None = None) -> None:
        try:
            async with asyncio.timeout(within):
                await self._runner.execute_command(command, *words)
        except REDIS_GONE as error:
            raise QueueUnavailable(f"Redis does not answer ({type(error).__name__}).") from error

    def _hear(self, channel: bytes, data: bytes) -> None:
        done = data.endswith(DONE)
        for watch in self._watches.get(channel, ()):
            if done or not watch.only_done:
                watch.wake()

    async def _keep_listening(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PING_SECONDS):
                    await self._lost.wait()
            try:
                await self._ask("PING")  # refused while Redis loads its data: a record can't be read before
                if self._lost.is_set():
                    self._lost.clear()
                    await self._listen_again()
                continue
            except QueueUnavailable:
                pass
            except Exception:
                log.exception("the subscriptions failed; they are renewed")
            self._lost.set()
            await asyncio.sleep(random.uniform(0.1, 0.3))

    async def _listen_again(self) -> None:
        channels = list(self._watches)
        for start in range(0, len(channels), AT_ONCE):
            some = channels[start : start + AT_ONCE]
            await asyncio.gather(*(self._ask("SUBSCRIBE", channel) for channel in some))
            for channel in some:
                for watch in self._watches.get(channel, ()):
                    watch.wake()


class ShardedChanges(Changes):
    """The changes of several shards, each over a connection of its own.

    Args:
        parts: the changes of each shard, in the order of their numbers.
    """

    def __init__(self, parts: Sequence[Changes]) -> None:
        self.turns = asyncio.Semaphore(AT_ONCE)
        self._parts = parts

    @asynccontextmanager
    async def watch(self, job_id: str, *, only_done: bool = False) -> AsyncIterator[Watch]:
        part = self._parts[shard_of(job_id, len(self._parts))]
        async with part.watch(job_id, only_done=only_done) as watch:
            yield watch

    def end_all(self) -> None:
        for part in self._parts:
            part.end_all()

    def renew(self) -> None:
        for part in self._parts:
            part.renew()

    async def aclose(self) -> None:
        for part in self._parts:
            await part.aclose()
