"""Fixtures of the API: in this process, on a fake Redis, with a client that speaks HTTP to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from redis.asyncio import Redis

from api.main import create_app
from api.settings import ApiSettings
from shared.files import FileStore
from shared.store.retention import Retention
from shared.store.workers import WorkerInfo
from tests.manual_worker import ManualWorker

RETENTION = Retention(completed=86400, failed=604800, cancelled=86400)  # the defaults
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    """Start an API: `client = await serve(redis, API_SETTING=…)`."""
    async with AsyncExitStack() as stack:

        async def serve(
            redis: Redis | None, *, app: FastAPI | None = None, peer: str = "203.0.113.9", **settings: Any
        ) -> AsyncClient:
            app = app or create_app(ApiSettings(**settings), redis=redis)  # type: ignore[arg-type]
            state = await stack.enter_async_context(app.router.lifespan_context(app))

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            transport = ASGITransport(with_state, client=(peer, 50000))
            return await stack.enter_async_context(
                AsyncClient(transport=transport, base_url="http://jobs.localhost")
            )

        yield serve


@pytest.fixture
async def client(serve: Callable[..., Any], fake_redis: Redis) -> AsyncClient:
    """A client of an API with its default settings."""
    client: AsyncClient = await serve(fake_redis)
    return client


@pytest.fixture
async def lonely_client(serve: Callable[..., Any]) -> AsyncClient:
    """A client of an API whose Redis is away."""
    client: AsyncClient = await serve(None, redis_url=NOWHERE)
    return client


@pytest.fixture
def files(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> FileStore:
    """The file store of the API behind `client`."""
    return FileStore.open(ApiSettings().artifacts_url)


@pytest.fixture
def worker(fake_redis: Redis) -> ManualWorker:
    """A worker of the API's jobs."""
    info = WorkerInfo("w", "host", 7, ("default", "other"), slots=3, started_at=1767225600.25)
    return ManualWorker(info, fake_redis, RETENTION)
