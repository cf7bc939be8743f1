"""`python -m worker` runs a worker process; with `--check` it asks whether one lives on this host."""

import argparse
import asyncio
import socket
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import QueueUnavailable
from shared.files import FileStore
from shared.job_type import JobType, UnusableJobType
from shared.job_type_loader import load_job_types, names_by_package
from shared.logging import configure_logging, get_log
from shared.settings import read_settings, refuse
from shared.store.client import connect
from shared.store.multiplexer import Multiplexer
from shared.store.preflight import obstacle
from shared.store.redis_calls import RedisCalls
from shared.store.workers import live_workers
from shared.traces.start import open_tracer
from worker.event_loop import WorkerLoop
from worker.handler import Handler
from worker.job_worker import JobWorker
from worker.recycler import fault_of_max_rss
from worker.registry import load_handlers, match_handlers
from worker.settings import WorkerSettings, worker_slots

SERVICE = "job-server-worker"  # the name of this process in its spans
if TYPE_CHECKING:
    from worker.metrics.worker_metrics import WorkerMetrics

log = get_log(__name__)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m worker", description="Performs jobs until SIGTERM, SIGINT or SIGHUP."
    )
    parser.add_argument(
        "--check", action="store_true", help="exit 0 if a worker of this host is alive, else 1"
    )
    arguments = parser.parse_args()
    settings = read_settings(WorkerSettings)
    if arguments.check:
        return asyncio.run(check(settings))
    try:
        return work(settings, load_job_types(settings.job_types), load_handlers(settings.job_types))
    except UnusableJobType as error:
        refuse(str(error))


def work(
    settings: WorkerSettings, job_types: Mapping[str, JobType[Any, Any]], found: Iterable[Handler]
) -> int:
    """Run a worker until a signal comes or a limit of its life is reached; returns the exit code.

    Raises:
        UnusableJobType: the job types and handlers do not fit together.
    """
    handlers = match_handlers(found, job_types, settings.worker_queues)
    configure_logging(level=settings.log_level, form=settings.log_format)
    if worker_slots() is not None:
        log.warning(
            "WORKER_SLOTS is the older name of WORKER_CONCURRENCY; rename it: the next release ignores it"
        )
    loop = WorkerLoop()
    asyncio.set_event_loop(loop)
    if reason := obstacle(settings.redis_url.get_secret_value()):
        refuse(f"REDIS_URL: {reason}")
    try:
        files = FileStore.open(settings.artifacts_url)
    except ValueError as error:
        refuse(f"ARTIFACTS_URL: {error}")
    if fault := fault_of_max_rss(settings.worker_max_rss_bytes):
        refuse(f"WORKER_MAX_RSS_BYTES: {fault}")
    tracer = open_tracer(settings.traces, SERVICE)
    metrics = open_metrics(settings, handlers)
    log.info("job types loaded", packages=names_by_package(settings.job_types))
    worker = JobWorker(settings, handlers, files, tracer, metrics)
    worker.run()
    if tracer is not None:
        tracer.close()
    return worker.exit_code


def open_metrics(settings: WorkerSettings, types: Iterable[str]) -> "WorkerMetrics | None":
    """The metrics of a worker, with a socket that listens; None without a port."""
    if not settings.worker_metrics_port:
        return None
    from worker.metrics.server import listen  # the library of metrics takes 4 MB
    from worker.metrics.worker_metrics import WorkerMetrics

    try:
        return WorkerMetrics(types, listen(settings.worker_metrics_host, settings.worker_metrics_port))
    except OSError as error:
        refuse(f"WORKER_METRICS_PORT: {error}")


async def check(settings: WorkerSettings) -> int:
    """The exit code of `--check`: 0 if a worker on this host has a live heartbeat, else 1."""
    redis = connect(settings.redis_url.get_secret_value(), read_timeout=2)
    connection = Multiplexer(redis, timeout=2)
    try:
        workers = await live_workers(RedisCalls(connection))
    except QueueUnavailable as error:
        print(f"unhealthy: {error.message}", file=sys.stderr)
        return 1
    finally:
        await connection.aclose()
        await redis.aclose(close_connection_pool=True)
    host = socket.gethostname()
    if not any(worker.host == host for worker in workers):
        print(f"unhealthy: no worker of host {host} has a live heartbeat", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
