"""This project: full records, indexes and change messages, logs at WARNING."""

from benchmarks.peers import REDIS_URL, in_batches, main
from benchmarks.tally import tick
from shared.contract import Contract, Params
from shared.queue import JobQueue, NewJob
from shared.store.client import Coalescer, connect
from shared.store.job_store import JobStore, Retention
from worker.__main__ import work as run_worker
from worker.context import JobContext
from worker.registry import Handler
from worker.settings import WorkerSettings

NOOP = Contract(name="noop", summary="Do nothing.", params=Params, result=type(None), example={})


async def noop(params: Params, job: JobContext) -> None:
    tick()


async def enqueue(count: int) -> None:
    store = JobStore(Coalescer(connect(REDIS_URL), patience=30), Retention())
    queue = JobQueue(store, max_waiting=10_000_000)
    await in_batches(count, lambda _: queue.submit(NewJob(NOOP, b"{}", "benchmark")))


def work(slots: int) -> None:
    settings = WorkerSettings(worker_slots=slots, log_level="WARNING")
    run_worker(settings, {"noop": NOOP}, [Handler(NOOP, noop)])


if __name__ == "__main__":
    main(enqueue, work)
