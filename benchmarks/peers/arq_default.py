"""arq with its defaults: it polls every half second, pickles, and keeps results for an hour."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from benchmarks.peers import REDIS_URL, Submit, body, main

SETTINGS = RedisSettings.from_dsn(REDIS_URL)


async def noop(ctx: dict[str, Any], sent: float) -> None:
    await body(sent)


@asynccontextmanager
async def submitter() -> AsyncIterator[Submit]:
    redis = await create_pool(SETTINGS)

    def submit(sent: float) -> Awaitable[object]:
        return redis.enqueue_job("noop", sent)

    yield submit


def work(slots: int) -> None:
    Worker([func(noop, name="noop")], redis_settings=SETTINGS, max_jobs=slots).run()


if __name__ == "__main__":
    main(submitter, work)
