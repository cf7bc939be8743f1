"""State: the objects that all requests share, opened and closed with the application."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from arq.connections import ArqRedis
from fastapi import FastAPI

from api.bulk import BulkChanges
from api.configuration import Configuration
from api.live_feed import LiveFeed
from api.metrics.api_metrics import ApiMetrics
from api.quotas import CallerQuotas
from api.redis_connections import GivenConnections, RedisConnections, open_connections
from api.retry_after import RunTimes
from api.served_queues import ServedQueues
from api.server.connections import Connections, limits_of_process
from api.server.exposure import warn_if_exposed
from api.server.protocols import CONNECTIONS
from api.server.shutdown import at_hangup, before_shutdown
from api.settings import ApiSettings
from api.stream_tokens import StreamTokens
from api.submission import Submissions
from api.traced_queue import TracedQueue
from shared.files import FileStore
from shared.job_type_loader import JobTypesByName, names_by_package
from shared.logging import get_log
from shared.store import redis_keys
from shared.store.activity import Activity
from shared.store.changes import Changes
from shared.store.figures import Figures
from shared.store.file_records import FileRecords
from shared.store.job_queue import JobQueue
from shared.store.missing_shards import MissingShards
from shared.store.queues import Queues
from shared.store.rate_limits import RateLimits
from shared.store.redis_calls import RedisCalls
from shared.store.retention import Retention
from shared.store.stream_secret import StreamSecret
from shared.store.upkeep import Upkeep, keep_up

STATE = "api"  # its name in the lifespan state, which the server hands to every request

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """The objects that `state_of(request)` gives to every request."""

    settings: ApiSettings
    job_types: JobTypesByName
    submissions: Submissions
    files: FileStore
    queue: JobQueue
    queues: Queues
    bulk: BulkChanges
    figures: Figures
    feed: LiveFeed
    file_records: FileRecords
    changes: Changes
    run_times: RunTimes
    rate_limits: RateLimits
    quotas: CallerQuotas
    stream_tokens: StreamTokens
    served_queues: ServedQueues
    missing: MissingShards
    metrics: ApiMetrics | None
    started_at: float


def state_of(request: Mapping[str, Any]) -> State:
    """The state of a request, or of its scope: a request is a mapping of its scope."""
    state: State = request["state"][STATE]
    return state


def lifespan_of(
    configuration: Configuration, redis: ArqRedis | None, *, owns_process: bool
) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]:
    """The lifespan of an application: it opens the state and the services, and closes them.

    Args:
        configuration: the settings and what they name.
        redis: a client to use in place of one for `REDIS_URL`; it is not closed.
        owns_process: whether the process serves this application alone, until its end. Objects that exist at
            the start then live for ever: they need not be walked again, which makes the longest pauses.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        settings = configuration.settings
        log.info("job types loaded", packages=names_by_package(settings.job_types))
        metrics = configuration.metrics
        if metrics:
            metrics.open()
        store = _store(configuration, redis)
        retention = Retention(settings.retain_completed, settings.retain_failed, settings.retain_cancelled)
        queue = _queue(configuration, store, retention)
        connections = Connections(limits_of_process(settings.api_max_connections))
        services = [
            *(_keep_up(Upkeep(shard, retention), configuration) for shard in store.shards),
            connections.keep_sweeping(),
            *store.services,
            *_services_of_keys(configuration),
            *([metrics.keep_watching()] if metrics else []),
        ]
        tasks = [_start(service) for service in services]
        feed = LiveFeed(lambda: Activity(RedisCalls(store.bulk), queue, retention))
        state = _state(configuration, queue, store, feed)
        if owns_process:
            gc.collect()
            gc.freeze()
        with _signals(configuration, store.changes, feed):
            yield {STATE: state, CONNECTIONS: connections}
        feed.end_all()
        configuration.files.close()
        for task in tasks:
            task.cancel()
        await store.aclose()
        if configuration.tracer:
            await asyncio.to_thread(configuration.tracer.close)
        if metrics:
            metrics.close()

    return lifespan


def _store(configuration: Configuration, redis: ArqRedis | None) -> RedisConnections:
    if redis:
        return GivenConnections(redis)
    metrics = configuration.metrics
    return open_connections(configuration.settings, metrics.redis_calls if metrics else None)


def _start(service: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a service; an error that ends it is logged at once."""
    task = asyncio.create_task(service)
    task.add_done_callback(_log_failure)
    return task


def _log_failure(service: asyncio.Task[None]) -> None:
    if not service.cancelled() and (error := service.exception()):
        log.critical("a part of the API failed; start the API again", exc_info=error)


def _queue(configuration: Configuration, store: RedisConnections, retention: Retention) -> JobQueue:
    make = JobQueue if configuration.tracer is None else partial(TracedQueue, configuration.tracer)
    return make(
        store.submitting,
        retention,
        max_waiting=-(-configuration.settings.queue_max_waiting // len(store.shards)),
        bulk=store.bulk,
        metrics=configuration.metrics,
        placement=store.placement,
    )


def _state(configuration: Configuration, queue: JobQueue, store: RedisConnections, feed: LiveFeed) -> State:
    settings, runner = configuration.settings, store.runner
    return State(
        settings=settings,
        job_types=configuration.job_types,
        submissions=configuration.submissions,
        files=configuration.files,
        queue=queue,
        queues=Queues(runner, {job_type.queue for job_type in configuration.job_types.values()}),
        bulk=BulkChanges(queue),
        figures=Figures(runner),
        feed=feed,
        file_records=FileRecords(runner),
        changes=store.changes,
        run_times=RunTimes(),
        rate_limits=RateLimits(runner),
        quotas=CallerQuotas(settings.quotas),
        stream_tokens=StreamTokens(StreamSecret(runner)),
        served_queues=ServedQueues(queue),
        missing=queue.missing,
        metrics=configuration.metrics,
        started_at=time.time(),
    )


@contextmanager
def _signals(configuration: Configuration, changes: Changes, feed: LiveFeed) -> Iterator[None]:
    """Within the block, SIGTERM and SIGINT end all waits first, and SIGHUP reloads the keys file."""
    key_set = configuration.key_set
    reloads = key_set is not None and configuration.settings.api_keys_file

    def end_all() -> None:
        changes.end_all()
        feed.end_all()

    with (
        before_shutdown(end_all),
        at_hangup(key_set.reload) if key_set and reloads else nullcontext(),
    ):
        yield


def _keep_up(upkeep: Upkeep, configuration: Configuration) -> Coroutine[Any, Any, None]:
    queues = {job_type.queue for job_type in configuration.job_types.values()} | {redis_keys.WEBHOOKS}
    metrics = configuration.metrics
    return keep_up(upkeep, sorted(queues), on_moves=metrics.note_moves if metrics else None)


def _services_of_keys(configuration: Configuration) -> list[Coroutine[Any, Any, None]]:
    """The services of an API without keys, or with a keys file."""
    key_set = configuration.key_set
    if key_set is None:
        return [warn_if_exposed()]
    return [key_set.keep_loaded()] if configuration.settings.api_keys_file else []
