"""celery: a Redis broker, no results, one prefork child per core as by default, no gossip.

The prefetch multiplier is 128, as its documents advise for short tasks.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from celery import Celery  # type: ignore[import-not-found]

from benchmarks.job_counter import count_finished
from benchmarks.peers import REDIS_URL, Submit, main

QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING")
app = Celery("benchmark", broker=REDIS_URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=128,
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
)
noop = app.task(count_finished, name="noop")


@asynccontextmanager
async def submitter() -> AsyncIterator[Submit]:
    async def submit(sent: float) -> None:
        noop.delay(sent)

    yield submit


def work(slots: int) -> None:
    app.worker_main(["worker", "--pool=prefork", *QUIET])


if __name__ == "__main__":
    main(submitter, work)
