"""arq as in `arq_polling`, plus a record of each change of state: the same service as this project's."""

import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import uuid4

import orjson
import uvloop
from arq import create_pool
from arq.worker import Worker, func

from benchmarks.peers import Submit, body, main
from benchmarks.peers.arq_polling import SETTINGS

RETENTION = 86400


async def noop(ctx: dict[str, Any], sent: float) -> None:
    redis, record = ctx["redis"], f"record:{ctx['job_id']}"
    await redis.hset(record, mapping={"state": "running", "started_at": time.time(), "attempt": 1})
    await body(sent)
    pipeline = redis.pipeline()
    pipeline.hset(record, mapping={"state": "completed", "finished_at": time.time(), "result": "null"})
    pipeline.expire(record, RETENTION)
    await pipeline.execute()


@asynccontextmanager
async def submitter() -> AsyncIterator[Submit]:
    redis = await create_pool(SETTINGS, job_serializer=orjson.dumps, job_deserializer=orjson.loads)

    async def submit(sent: float) -> None:
        job_id = uuid4().hex
        fields = {"type": "noop", "state": "pending", "params": "{}", "created_at": time.time()}
        await cast(Awaitable[int], redis.hset(f"record:{job_id}", mapping=fields))
        await redis.enqueue_job("noop", sent, _job_id=job_id)

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
