"""RedisConnections: the connections to Redis that all requests share; with shards, those to each of them."""

from collections.abc import Coroutine, Sequence
from typing import Any

from arq.connections import ArqRedis

from api.settings import ApiSettings
from shared.metrics.series import Histogram
from shared.store.changes import Changes, ShardedChanges
from shared.store.client import Runner, connect, sentinels_of
from shared.store.multiplexer import Multiplexer
from shared.store.placement import Placement
from shared.store.replica_shortages import ReplicaProbe, ReplicaShortages
from shared.store.replicated_writes import ReplicatedSubmissions
from shared.store.shards import Shards


class RedisConnections:
    """The connections of an API process.

    Attributes:
        runner: for all requests.
        bulk: for large replies.
        submitting: for submissions.
        changes: the subscriptions.
        shards: the runner of each shard; the runner alone without shards.
        placement: chooses the shard of new jobs; None without shards.
    """

    runner: Runner
    bulk: Runner
    submitting: Runner
    changes: Changes
    shards: Sequence[Runner]
    placement: Placement | None = None
    services: Sequence[Coroutine[Any, Any, None]] = ()

    async def aclose(self) -> None:
        await self.changes.aclose()


class GivenConnections(RedisConnections):
    """A client that was given to the application, which stays open."""

    def __init__(self, redis: ArqRedis) -> None:
        self.runner = self.bulk = self.submitting = redis
        self.shards = [redis]
        self.changes = Changes(redis)


class OwnConnections(RedisConnections):
    """The connections to one server, or to one shard.

    The first of them that finds out about a fail-over renews the others, and the subscriptions.

    Args:
        client: opens them.
        settings: those of the process.
        durations: observes the seconds of each call; None without metrics.

    Attributes:
        services: leave a former primary as soon as the Sentinels name another one.
        probe: the test of its replicas, which is for a shard; it connects when it is needed.
    """

    runner: Multiplexer
    bulk: Multiplexer
    submitting: Multiplexer | ReplicatedSubmissions

    def __init__(self, client: ArqRedis, settings: ApiSettings, durations: Histogram | None) -> None:
        self.changes = Changes(client)
        self.runner = Multiplexer(client, on_failover=lambda: self.renew(self.runner), durations=durations)
        self.bulk = Multiplexer(client, on_failover=lambda: self.renew(self.bulk), durations=durations)
        self.submitting = self._open_submitting(client, settings)
        self.probe = _probe(client, settings)
        self.shards = [self.runner]
        sentinels = sentinels_of(client)
        self.services = [sentinels.watch(self.renew)] if sentinels else []

    def renew(self, besides: Multiplexer | ReplicatedSubmissions | None = None) -> None:
        """Leave a former primary."""
        self.changes.renew()
        for connection in {self.runner, self.bulk, self.submitting}:
            if connection is not besides:
                connection.renew()

    async def aclose(self) -> None:
        await super().aclose()
        for runner in {self.submitting, self.runner, self.bulk}:
            await runner.aclose()

    def _open_submitting(
        self, client: ArqRedis, settings: ApiSettings
    ) -> Multiplexer | ReplicatedSubmissions:
        """The runner of submissions: with REDIS_ACK_REPLICAS it waits for replicas."""
        if not settings.redis_ack_replicas:
            return self.runner
        return ReplicatedSubmissions(
            self.runner,
            Multiplexer(
                client,
                timeout=_silence_of_wait(settings),
                on_failover=lambda: self.renew(self.submitting),
            ),
            least=settings.redis_ack_replicas,
            milliseconds=settings.redis_ack_milliseconds,
            sentinels=sentinels_of(client),
            on_refusal=self.renew,
        )


class ShardedConnections(RedisConnections):
    """The connections to all shards."""

    def __init__(self, parts: Sequence[OwnConnections]) -> None:
        self._parts = parts
        shortages = ReplicaShortages([part.probe for part in parts])
        self.runner = shards = Shards([part.runner for part in parts], shortages=shortages)
        self.bulk = Shards([part.bulk for part in parts], beside=shards)
        self.submitting = Shards([part.submitting for part in parts], beside=shards)
        self.changes = ShardedChanges([part.changes for part in parts])
        self.shards = [part.runner for part in parts]
        self.placement = Placement(shards)
        self._end = shards.end_pings

    async def aclose(self) -> None:
        self._end()
        await super().aclose()
        for part in self._parts:
            await part.aclose()


def _probe(client: ArqRedis, settings: ApiSettings) -> ReplicaProbe:
    return ReplicaProbe(
        Multiplexer(client, timeout=_silence_of_wait(settings), patience=0.0),
        least=settings.redis_ack_replicas,
        milliseconds=settings.redis_ack_milliseconds,
    )


def _silence_of_wait(settings: ApiSettings) -> float:
    """Seconds of silence after which a connection with a WAIT is given up."""
    return 0.75 + settings.redis_ack_milliseconds / 1000


def open_connections(settings: ApiSettings, durations: Histogram | None) -> RedisConnections:
    """The connections to the Redis of the settings."""
    url = settings.redis_url.get_secret_value()
    parts = [
        OwnConnections(connect(url, shard=shard), settings, durations) for shard in range(settings.shards)
    ]
    return parts[0] if len(parts) == 1 else ShardedConnections(parts)
