"""job_server, this project: full records, indexes and change messages; logs at LOG_LEVEL or WARNING."""

import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from benchmarks.peers import REDIS_URL, Submit, body, main
from shared.job_type import JobType, Params
from shared.store.client import connect
from shared.store.job_queue import JobQueue
from shared.store.multiplexer import Multiplexer
from shared.store.retention import Retention
from shared.store.submission import NewJob
from worker.__main__ import work as run_worker
from worker.context import JobContext
from worker.handler import Handler
from worker.settings import WorkerSettings

RETENTION = Retention(completed=86400, failed=604800, cancelled=86400)


class PingParams(Params):
    sent: float = 0.0


NOOP = JobType(name="noop", summary="Do nothing.", params=PingParams, result=type(None), example={})


async def noop(params: PingParams, job: JobContext) -> None:
    await body(params.sent)


@asynccontextmanager
async def submitter() -> AsyncIterator[Submit]:
    runner = Multiplexer(connect(REDIS_URL), timeout=60)
    queue = JobQueue(runner, RETENTION, max_waiting=10_000_000)

    def submit(sent: float) -> Awaitable[object]:
        return queue.submit(NewJob(NOOP, b'{"sent":%a}' % sent, "benchmark"))

    yield submit
    await runner.aclose()


def work(slots: int) -> None:
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    run_worker(WorkerSettings(worker_concurrency=slots), {"noop": NOOP}, [Handler(NOOP, noop)])


if __name__ == "__main__":
    main(submitter, work)
