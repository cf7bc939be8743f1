"""The application: `uvicorn api.main:app`."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq.connections import ArqRedis
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.access import Access
from api.dependencies import State
from api.direct import DirectRoutes
from api.errors import add_error_handlers
from api.exposure import warn_if_exposed
from api.middleware import BodyLimit, RequestContext
from api.openapi import document
from api.pacing import Pacing
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
    webhooks,
)
from api.settings import ApiSettings
from api.shutdown import before_shutdown
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
from shared.upkeep import keep_up

DESCRIPTION = """\
Submit long-running work with `POST /v1/jobs`, then read `GET /v1/jobs/{job_id}` until `done` is true.

Every path is also served without `/v1`. Every error has one form, the schema `Error`.
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

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        client = redis or connect(url)
        changes = Changes(client)
        runner = redis or Multiplexer(client, on_failover=changes.renew)
        retention = Retention(settings.retain_completed, settings.retain_failed, settings.retain_cancelled)
        store = JobStore(runner, retention)
        queues = sorted({contract.queue for contract in contracts.values()} | {keys.WEBHOOKS})
        services = [asyncio.create_task(keep_up(store, queues))]
        if not settings.api_keys:
            services.append(asyncio.create_task(warn_if_exposed()))
        gc.collect()
        gc.freeze()  # what lives for ever need not be walked again: it makes the longest pauses
        with before_shutdown(changes.end_all):
            yield State(
                settings=settings,
                contracts=contracts,
                submissions=submissions,
                queue=JobQueue(store, max_waiting=settings.queue_max_waiting),
                files=file_store,
                file_records=FileRecords(runner),
                changes=changes,
                rate_limits=RateLimits(runner),
                pacing=Pacing(),
                started_at=time.time(),
            )
        await changes.aclose()
        file_store.close()
        for service in services:
            service.cancel()
        if isinstance(runner, Multiplexer):
            await runner.aclose()

    app = FastAPIOffline(
        title="Job server",
        summary="An asynchronous job server for inference-like work.",
        description=DESCRIPTION,
        version=VERSION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for router in (
        jobs.router,
        events.router,
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
    app.openapi = document(app, submissions, contracts, closed=bool(settings.api_keys))  # type: ignore[method-assign]
    add_error_handlers(app)
    app.middleware_stack = _wrap(app.build_middleware_stack(), settings)
    return app


def _wrap(framework: ASGIApp, settings: ApiSettings) -> ASGIApp:
    """What every request passes, from the last to the first; outside of the framework's own layers."""
    stack: ASGIApp = DirectRoutes(framework, routers=(jobs.router, events.router), prefixes=("", "/v1"))
    stack = BodyLimit(
        stack, max_bytes=settings.api_max_body_bytes, max_file_bytes=settings.api_max_file_bytes
    )
    if settings.api_keys:
        stack = Access(stack, keys=settings.api_keys, rate=settings.api_rate_limit)
    stack = RequestContext(stack)
    return ProxyHeadersMiddleware(stack, trusted_hosts=list(settings.api_trusted_proxies))  # type: ignore[arg-type,return-value]


def __getattr__(name: str) -> Any:
    """Make `app` when a server asks for it, so that importing this module reads no settings."""
    if name == "app":
        globals()["app"] = create_app()
        return globals()["app"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
