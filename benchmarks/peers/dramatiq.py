"""dramatiq: the Redis broker with its default middleware, one thread per slot, no results.

The catalog sets `dramatiq_queue_prefetch` to 1000, which doubles the rate with 10 threads. The middleware
(retries, limits of age and time, callbacks) stays, as every other system here keeps its own; without it a
job would cost the worker a tenth less.
"""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]

from benchmarks.job_counter import count_finished
from benchmarks.peers import REDIS_URL, Submit, main

broker = RedisBroker(url=REDIS_URL)
dramatiq.set_broker(broker)
noop = dramatiq.actor(count_finished, actor_name="noop")


@asynccontextmanager
async def submitter() -> AsyncIterator[Submit]:
    async def submit(sent: float) -> None:
        noop.send(sent)

    yield submit


def work(slots: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    worker = dramatiq.Worker(broker, worker_threads=slots)
    worker.start()
    signal.sigwait({signal.SIGTERM})
    worker.stop()


if __name__ == "__main__":
    main(submitter, work)
