"""rq: its SimpleWorker, which forks no child per job and runs one job at a time; no kept results."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import Redis
from rq import Queue, SimpleWorker  # type: ignore[import-not-found]

from benchmarks.job_counter import count_finished
from benchmarks.peers import REDIS_URL, Submit, main

connection = Redis.from_url(REDIS_URL)
queue = Queue(connection=connection)


@asynccontextmanager
async def submitter() -> AsyncIterator[Submit]:
    async def submit(sent: float) -> None:
        queue.enqueue_call(count_finished, args=(sent,), result_ttl=0)

    yield submit


def work(slots: int) -> None:
    SimpleWorker([queue], connection=connection, log_job_description=False).work(logging_level="WARNING")


if __name__ == "__main__":
    main(submitter, work)
