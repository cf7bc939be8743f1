"""The application: `uvicorn api.main:app`."""

from typing import Any

from arq.connections import ArqRedis
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.configuration import Configuration, configure
from api.errors import add_error_handlers
from api.middleware.auth import Auth
from api.middleware.body_limit import BodyLimit
from api.middleware.compression import Compression
from api.middleware.cors import Cors
from api.middleware.direct_routes import DirectRoutes
from api.middleware.hosts import EVERY_HOST, AllowedHosts
from api.middleware.origins import OriginCheck
from api.middleware.rate_limit import RateLimit
from api.middleware.request_context import RequestContext
from api.middleware.tracing import Tracing
from api.reference.openapi import ABOUT, describe
from api.routes import (
    activity,
    artifacts,
    attempts,
    bulk,
    dashboard,
    embeddings,
    events,
    figures,
    files,
    health,
    job_types,
    jobs,
    listing,
    logs,
    metrics,
    output,
    queues,
    server,
    stream_tokens,
    webhooks,
    workers,
)
from api.server.protocols import bound_connections
from api.settings import ApiSettings
from api.state import lifespan_of
from shared.logging import configure_logging
from shared.settings import read_settings, refuse
from shared.store.preflight import obstacle

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""By default the framework looks for providers at every request, which costs 4 µs."""

ROUTERS = (
    jobs.router,
    events.router,
    activity.router,
    attempts.router,
    embeddings.router,
    stream_tokens.router,
    logs.router,
    output.router,
    webhooks.router,
    listing.router,
    bulk.router,
    artifacts.router,
    files.router,
    job_types.router,
    queues.router,
    workers.router,
    health.router,
    server.router,
    figures.router,
)


def _operation_id(route: APIRoute) -> str:
    return route.name


def _routes() -> list[BaseRoute]:
    """The routes of all routers, with the prefix /v1 and without.

    All applications of a process share them: the framework takes 2 ms to build a route, at its first use.
    """
    both = APIRouter(generate_unique_id_function=_operation_id)
    for router in ROUTERS:
        both.include_router(router, prefix="/v1")
        both.include_router(router, include_in_schema=False)
    return both.routes


ROUTES = _routes()


def _obstacle(settings: ApiSettings) -> str | None:
    return obstacle(settings.redis_url.get_secret_value(), ack_replicas=settings.redis_ack_replicas)


def create_app(
    settings: ApiSettings | None = None, redis: ArqRedis | None = None, *, owns_process: bool = False
) -> FastAPI:
    """Make the application of the API.

    Args:
        settings: read from the environment unless given; a wrong value there ends the process.
        redis: a client to use in place of one for `REDIS_URL`; it is not closed.
        owns_process: whether the process serves this application alone, until its end.
    """
    settings = settings or read_settings(ApiSettings)
    configure_logging(level=settings.log_level, form=settings.log_format)
    if redis is None and (reason := _obstacle(settings)):
        refuse(f"REDIS_URL: {reason}")
    configuration = configure(settings, (*ROUTERS, metrics.router))
    bound_connections()
    app = FastAPI(
        **ABOUT,
        lifespan=lifespan_of(configuration, redis, owns_process=owns_process),
        openapi_url="/openapi.json" if settings.api_docs == "on" else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        telemetry=NO_TELEMETRY,
    )
    app.router.routes.extend(ROUTES)
    app.include_router(dashboard.root)
    if settings.api_dashboard == "on":
        app.include_router(dashboard.router)
    if configuration.metrics is not None:
        app.include_router(metrics.router)
    app.webhooks.include_router(webhooks.sent)
    describe(app, configuration)
    add_error_handlers(app)
    app.middleware_stack = _wrap(app.build_middleware_stack(), configuration)
    return app


def _wrap(framework: ASGIApp, configuration: Configuration) -> ASGIApp:
    """Wrap the framework in the layers that every request passes, the innermost first."""
    settings, key_set = configuration.settings, configuration.key_set
    http = configuration.metrics.http if configuration.metrics else None
    stack: ASGIApp = DirectRoutes(framework, ROUTERS, prefixes=("", "/v1"))
    stack = BodyLimit(
        stack, max_bytes=settings.api_max_body_bytes, max_file_bytes=settings.api_max_file_bytes
    )
    if key_set is not None:
        stack = Auth(RateLimit(stack, settings.api_rate_limit), key_set)
    stack = OriginCheck(stack, _allowed_hosts(settings), Cors(settings.api_cors_origins))
    if configuration.tracer is not None:
        stack = Tracing(stack, configuration.tracer)
    stack = RequestContext(stack, on_end=http.note if http else None)
    stack = Compression(stack)
    return ProxyHeadersMiddleware(stack, trusted_hosts=list(settings.api_trusted_proxies))  # type: ignore[arg-type,return-value]


def _allowed_hosts(settings: ApiSettings) -> AllowedHosts:
    """The hosts that requests may name. With keys that is every host, because no web page has a key."""
    return AllowedHosts(settings.api_allowed_hosts or ((EVERY_HOST,) if settings.closed else ()))


def __getattr__(name: str) -> Any:
    """Make `app` at its first use, so that importing this module reads no settings."""
    if name == "app":
        globals()["app"] = create_app(owns_process=True)
        return globals()["app"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
