"""Fixtures of the API: in this process, on a fake Redis, with a client that speaks HTTP to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from redis.asyncio import Redis

from api.main import create_app
from api.settings import ApiSettings
from shared.files import FileStore
from shared.store.job_leases import Claim, Finished, JobLeases, Outcome, OutcomeKind
from shared.store.retention import Retention
from shared.store.worker_info import WorkerInfo

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


class Backstage:
    """What a worker would do to the API's jobs."""

    def __init__(self, redis: Redis) -> None:
        self.job_leases = JobLeases(redis)
        self.worker_info = WorkerInfo("w", "host", 7, ("default", "other"), slots=3, started_at=1767225600.25)
        self.steps = 0

    async def step(self, *finished: Finished, slots: int = 0) -> list[Claim]:
        self.steps += 1
        step = await self.job_leases.step(
            "w", self.steps, ["default"], finished, slots=slots, lease=60, retention=RETENTION
        )
        return step.claims

    async def claim(self) -> Claim:
        (claim,) = await self.step(slots=1)
        return claim

    async def finish(self, kind: OutcomeKind, body: Any = None) -> None:
        """Claim the next job and end it."""
        claim = await self.claim()
        await self.step(Finished(claim, Outcome(kind, orjson.dumps(body))))

    async def beat(self) -> None:
        await self.job_leases.beat(self.worker_info, [], running=2, lease=60)


@pytest.fixture
def backstage(fake_redis: Redis) -> Backstage:
    return Backstage(fake_redis)
