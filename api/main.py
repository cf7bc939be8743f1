"""The application: `uvicorn api.main:app`."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from arq.connections import ArqRedis
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.access import Access
from api.compression import Compression
from api.connections import Connections, bound_connections, limits_of_process
from api.cors import Cors
from api.dependencies import State
from api.direct import DirectRoutes
from api.docs import add_docs
from api.errors import add_error_handlers
from api.exposure import warn_if_exposed
from api.hosts import EVERY_HOST, AllowedHosts
from api.key_set import KeySet
from api.middleware import BodyLimit, RequestContext
from api.openapi import document
from api.origins import OriginCheck
from api.pacing import Pacing
from api.quotas import CallerQuotas
from api.routes import (
    artifacts,
    events,
    files,
    health,
    job_types,
    jobs,
    listing,
    logs,
    server,
    stream_tokens,
    webhooks,
)
from api.settings import ApiSettings
from api.shutdown import at_hangup, before_shutdown
from api.stream_tokens import StreamTokens
from api.submission import Submissions
from shared import VERSION
from shared.contracts import load_contracts
from shared.files import FileStore
from shared.logging import configure_logging
from shared.queue import JobQueue
from shared.settings import read_settings, refuse
from shared.store import keys
from shared.store.changes import Changes
from shared.store.client import connect
from shared.store.file_records import FileRecords
from shared.store.job_store import JobStore
from shared.store.model import Retention
from shared.store.multiplexer import Multiplexer
from shared.store.preflight import obstacle
from shared.store.rate_limits import RateLimits
from shared.store.stream_secret import StreamSecret
from shared.upkeep import keep_up

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""Else the framework looks for providers at every request, which costs 4 µs."""

DESCRIPTION = """\
Submit long-running work with `POST /v1/jobs`, then read `GET /v1/jobs/{job_id}` until `done` is true.

Every path is also served without `/v1`, and `HEAD` wherever `GET` is. Bodies may come in gzip or deflate;
answers above 1 kB leave in gzip for clients that accept it.

Every error has one form, the schema `ErrorEnvelope`, also those that come before any path is known:
400 `bad_request`, 408 `request_timeout`, 431 `head_too_large` and 503 `too_many_connections`.
"""


def create_app(settings: ApiSettings | None = None, redis: ArqRedis | None = None) -> FastAPI:
    """The API.

    Args:
        settings: read from the environment unless given; a wrong value there ends the process.
        redis: a client to use in place of one for `REDIS_URL`; it is not closed.
    """
    settings = settings or read_settings(ApiSettings)
    configure_logging(level=settings.log_level, form=settings.log_format)
    url = settings.redis_url.get_secret_value()
    if redis is None and (reason := obstacle(url)):
        refuse(f"REDIS_URL: {reason}")
    try:
        contracts = load_contracts()
    except ValueError as error:
        refuse(str(error))
    submissions = Submissions(
        contracts,
        webhooks=bool(settings.webhook_secrets),
        allowed=settings.webhook_allowed_networks,
        ports=settings.webhook_allowed_ports,
    )
    try:
        file_store = FileStore.open(settings.artifacts_url)
    except ValueError as error:
        refuse(f"ARTIFACTS_URL: {error}")

    try:
        key_set = KeySet(settings.api_keys, settings.api_keys_file) if settings.closed else None
    except ValueError as error:
        refuse(f"API_KEYS_FILE: {error}")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        client = redis or connect(url)
        changes = Changes(client)
        runner, bulk = (redis, redis) if redis else _connections(client, changes)
        retention = Retention(settings.retain_completed, settings.retain_failed, settings.retain_cancelled)
        store = JobStore(runner, retention, bulk=bulk)
        queues = sorted({contract.queue for contract in contracts.values()} | {keys.WEBHOOKS})
        connections = Connections(limits_of_process(settings.api_max_connections))
        services = [
            asyncio.create_task(keep_up(store, queues)),
            asyncio.create_task(connections.keep_watch()),
        ]
        if key_set is None:
            services.append(asyncio.create_task(warn_if_exposed()))
        elif settings.api_keys_file:
            services.append(asyncio.create_task(key_set.keep_loaded()))
        gc.collect()
        gc.freeze()  # what lives for ever need not be walked again: it makes the longest pauses
        with (
            before_shutdown(changes.end_all),
            at_hangup(key_set.reload) if key_set and settings.api_keys_file else nullcontext(),
        ):
            yield State(
                settings=settings,
                connections=connections,
                contracts=contracts,
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
        for connection in (runner, bulk):
            if isinstance(connection, Multiplexer):
                await connection.aclose()

    bound_connections()
    documented = settings.api_docs == "on"
    app = FastAPI(
        title="Job server",
        summary="An asynchronous job server for inference-like work.",
        description=DESCRIPTION,
        version=VERSION,
        license_info={"name": "MIT", "identifier": "MIT"},
        lifespan=lifespan,
        openapi_url="/openapi.json" if documented else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry=NO_TELEMETRY,
    )
    for router in (
        jobs.router,
        events.router,
        stream_tokens.router,
        logs.router,
        webhooks.router,
        listing.router,
        artifacts.router,
        files.router,
        job_types.router,
        health.router,
        server.router,
    ):
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)
    app.webhooks.include_router(webhooks.sent)
    app.openapi = document(app, submissions, contracts, closed=settings.closed)  # type: ignore[method-assign]
    if documented:
        add_docs(app)
    add_error_handlers(app)
    app.middleware_stack = _wrap(app.build_middleware_stack(), settings, key_set)
    return app


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


def _wrap(framework: ASGIApp, settings: ApiSettings, key_set: KeySet | None) -> ASGIApp:
    """What every request passes, from the last to the first; outside of the framework's own layers."""
    stack: ASGIApp = DirectRoutes(framework, routers=(jobs.router, events.router), prefixes=("", "/v1"))
    stack = BodyLimit(
        stack, max_bytes=settings.api_max_body_bytes, max_file_bytes=settings.api_max_file_bytes
    )
    if key_set is not None:
        stack = Access(stack, keys=key_set, rate=settings.api_rate_limit)
    stack = OriginCheck(stack, _allowed_hosts(settings), Cors(settings.api_cors_origins))
    stack = RequestContext(stack)
    stack = Compression(stack)
    return ProxyHeadersMiddleware(stack, trusted_hosts=list(settings.api_trusted_proxies))  # type: ignore[arg-type,return-value]


def _allowed_hosts(settings: ApiSettings) -> AllowedHosts:
    """The hosts that requests may name. A key protects an API by itself: no web page has it."""
    return AllowedHosts(settings.api_allowed_hosts or ((EVERY_HOST,) if settings.closed else ()))


def __getattr__(name: str) -> Any:
    """Make `app` when a server asks for it, so that importing this module reads no settings."""
    if name == "app":
        globals()["app"] = create_app()
        return globals()["app"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
