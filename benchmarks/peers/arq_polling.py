"""Stock arq with poll_delay=0.01, JSON messages and no kept results."""

from typing import Any

import orjson
import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from benchmarks.peers import REDIS_URL, in_batches, main
from benchmarks.tally import tick

SETTINGS = RedisSettings.from_dsn(REDIS_URL)


async def noop(ctx: dict[str, Any]) -> None:
    tick()


async def enqueue(count: int) -> None:
    redis = await create_pool(SETTINGS, job_serializer=orjson.dumps, job_deserializer=orjson.loads)
    await in_batches(count, lambda _: redis.enqueue_job("noop"))


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
    main(enqueue, work)
