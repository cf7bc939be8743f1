"""The lifespan of the application: its connections to Redis, its services, and the state of its requests."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from arq.connections import ArqRedis
from fastapi import FastAPI

from api.dependencies import State
from api.keys.key_set import KeySet
from api.pacing import Pacing
from api.quotas import CallerQuotas
from api.server.connections import Connections, limits_of_process
from api.server.exposure import warn_if_exposed
from api.server.shutdown import at_hangup, before_shutdown
from api.settings import ApiSettings
from api.stream_tokens import StreamTokens
from api.submission import Submissions
from shared.files import FileStore
from shared.job_type_loader import JobTypesByName
from shared.store import redis_keys
from shared.store.changes import Changes
from shared.store.client import Runner, connect
from shared.store.file_records import FileRecords
from shared.store.job_queue import JobQueue
from shared.store.job_store import JobStore
from shared.store.model import Retention
from shared.store.multiplexer import Multiplexer
from shared.store.rate_limits import RateLimits
from shared.store.stream_secret import StreamSecret
from shared.upkeep import keep_up


def lifespan_of(
    settings: ApiSettings,
    job_types: JobTypesByName,
    submissions: Submissions,
    file_store: FileStore,
    key_set: KeySet | None,
    redis: ArqRedis | None,
) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    """The lifespan of an application with these parts.

    Args:
        key_set: the keys of callers; None for an API without keys.
        redis: a client to use in place of one for `REDIS_URL`; it is not closed.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        client = redis or connect(settings.redis_url.get_secret_value())
        changes = Changes(client)
        runner, bulk = (redis, redis) if redis else _connections(client, changes)
        store = JobStore(runner, _retention(settings), bulk=bulk)
        connections = Connections(limits_of_process(settings.api_max_connections))
        duties = [_keep_up(store, job_types), connections.keep_watch(), *_duties_of_keys(settings, key_set)]
        services = [asyncio.create_task(duty) for duty in duties]
        gc.collect()
        gc.freeze()  # what lives for ever need not be walked again: it makes the longest pauses
        with (
            before_shutdown(changes.end_all),
            at_hangup(key_set.reload) if key_set and settings.api_keys_file else nullcontext(),
        ):
            yield State(
                settings=settings,
                connections=connections,
                job_types=job_types,
                submissions=submissions,
                queue=JobQueue(store, max_waiting=settings.queue_max_waiting),
                files=file_store,
                file_records=FileRecords(runner),
                changes=changes,
                rate_limits=RateLimits(runner),
                quotas=CallerQuotas(settings.quotas),
                stream_tokens=StreamTokens(StreamSecret(runner)),
                pacing=Pacing(),
                started_at=time.time(),
            )
        await changes.aclose()
        file_store.close()
        for service in services:
            service.cancel()
        await _close(runner, bulk)

    return lifespan


def _retention(settings: ApiSettings) -> Retention:
    return Retention(settings.retain_completed, settings.retain_failed, settings.retain_cancelled)


def _keep_up(store: JobStore, job_types: JobTypesByName) -> Coroutine[Any, Any, None]:
    queues = {job_type.queue for job_type in job_types.values()} | {redis_keys.WEBHOOKS}
    return keep_up(store, sorted(queues))


def _duties_of_keys(settings: ApiSettings, key_set: KeySet | None) -> list[Coroutine[Any, Any, None]]:
    """The services of an API without keys, or with a keys file."""
    if key_set is None:
        return [warn_if_exposed()]
    return [key_set.keep_loaded()] if settings.api_keys_file else []


def _connections(client: ArqRedis, changes: Changes) -> tuple[Multiplexer, Multiplexer]:
    """The connection that all requests share, and the one for large replies.

    The first of them that finds out about a fail-over renews the other one, and the subscriptions.
    """

    def renew_all_but(connection: Multiplexer) -> None:
        changes.renew()
        for other in {runner, bulk} - {connection}:
            other.renew()

    runner = Multiplexer(client, on_failover=lambda: renew_all_but(runner))
    bulk = Multiplexer(client, on_failover=lambda: renew_all_but(bulk))
    return runner, bulk


async def _close(*runners: Runner) -> None:
    """Close the connections; a client that was given to the application stays open."""
    for runner in runners:
        if isinstance(runner, Multiplexer):
            await runner.aclose()
