"""Connections of a worker to Redis: opened, renewed after a fail-over and closed together."""

from collections.abc import Callable

from arq import ArqRedis

from shared.errors import QueueUnavailable
from shared.logging import get_log
from shared.metrics.series import Histogram
from shared.store.client import sentinels_of
from shared.store.multiplexer import Multiplexer

log = get_log(__name__)


class Connections:
    """All connections of one worker process, apart from that of its heartbeat process.

    Attributes:
        redis_answers: whether Redis has answered the last step.

    Args:
        redis: the client that opens them.
        durations: observes the seconds of each call that does not wait for a wake-up.
    """

    def __init__(self, redis: ArqRedis, durations: Histogram | None = None) -> None:
        shard = redis.connection_pool.connection_kwargs.get("shard")
        self._place: dict[str, int] = {} if shard is None else {"shard": shard}  # for the log
        self._redis = redis
        self._durations = durations
        self._opened: list[Multiplexer] = []
        self.redis_answers = True

    def open(self, *, timeout: float, waits: bool = False) -> Multiplexer:
        """A connection for commands, or for one that waits; its timeout is one of silence, in seconds."""
        connection: Multiplexer = Multiplexer(
            self._redis,
            timeout=timeout,
            patience=0.0,
            on_failover=lambda: self.renew(besides=connection),
            durations=None if waits else self._durations,
        )
        self._opened.append(connection)
        return connection

    def open_for_messages(
        self, *, timeout: float, on_message: Callable[[bytes, bytes], None], on_loss: Callable[[], None]
    ) -> Multiplexer:
        """A connection for a subscription."""
        connection = Multiplexer(
            self._redis, timeout=timeout, patience=0.0, on_message=on_message, on_loss=on_loss
        )
        self._opened.append(connection)
        return connection

    def renew(self, besides: Multiplexer | None = None) -> None:
        """Leave a former primary. Not every connection notices a fail-over: a subscription never does."""
        for connection in self._opened:
            if connection is not besides:
                connection.renew()

    async def watch_primary(self) -> None:
        """Leave a former primary as soon as the Sentinels name another one."""
        if sentinels := sentinels_of(self._redis):
            await sentinels.watch(self.renew)

    def note_answer(self, error: QueueUnavailable | None) -> None:
        """Log that Redis, or the shard, is away or back, once each time; None stands for an answer."""
        if self.redis_answers and error:
            log.warning("Redis is away; running jobs go on", **self._place, reason=error.message)
        elif error is None and not self.redis_answers:
            log.info("Redis is back", **self._place)
        self.redis_answers = error is None

    async def aclose(self) -> None:
        for connection in self._opened:
            await connection.aclose()
        await self._redis.aclose(close_connection_pool=True)
