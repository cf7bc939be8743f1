"""arq with poll_delay=0.01, JSON messages and no kept results."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from benchmarks.peers import REDIS_URL, Submit, body, main

SETTINGS = RedisSettings.from_dsn(REDIS_URL)


async def noop(ctx: dict[str, Any], sent: float) -> None:
    await body(sent)


@asynccontextmanager
async def submitter() -> AsyncIterator[Submit]:
    redis = await create_pool(SETTINGS, job_serializer=orjson.dumps, job_deserializer=orjson.loads)

    def submit(sent: float) -> Awaitable[object]:
        return redis.enqueue_job("noop", sent)

    yield submit


def work(slots: int) -> None:
    uvloop.install()
    Worker(
        [func(noop, name="noop")],
        redis_settings=SETTINGS,
        max_jobs=slots,
        poll_delay=0.01,
        keep_result=0,
        job_serializer=orjson.dumps,
        job_deserializer=orjson.loads,
    ).run()


if __name__ == "__main__":
    main(submitter, work)
