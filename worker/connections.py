"""Connections of a worker to Redis: opened, renewed after a fail-over and closed together."""

from collections.abc import Callable

from arq import ArqRedis

from shared.errors import QueueUnavailable
from shared.logging import get_log
from shared.store.multiplexer import Multiplexer

log = get_log(__name__)


class Connections:
    """All connections of one worker process, apart from that of its heartbeat process.

    Args:
        redis: the client that opens them.
    """

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._opened: list[Multiplexer] = []
        self._redis_answers = True

    def open(self, *, timeout: float) -> Multiplexer:
        """A connection for commands; its timeout is one of silence, in seconds."""
        connection: Multiplexer = Multiplexer(
            self._redis, timeout=timeout, patience=0.0, on_failover=lambda: self.renew(besides=connection)
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

    def note_answer(self, error: QueueUnavailable | None) -> None:
        """Log that Redis is away, or back, once each time; None stands for an answer."""
        if self._redis_answers and error:
            log.warning("Redis is away; running jobs go on", reason=error.message)
        elif error is None and not self._redis_answers:
            log.info("Redis is back")
        self._redis_answers = error is None

    async def aclose(self) -> None:
        for connection in self._opened:
            await connection.aclose()
        await self._redis.aclose(close_connection_pool=True)
