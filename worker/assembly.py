"""Parts of a worker, made of its settings."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import TYPE_CHECKING

from shared.store.workers import WorkerInfo
from worker.handler import Handler
from worker.models.hosts import ModelHosts
from worker.processes.environment import child_environment
from worker.processes.pool import Processes
from worker.settings import WorkerSettings
from worker.webhooks.circuits import Circuits
from worker.webhooks.deliverer import Deliverer

if TYPE_CHECKING:
    from shared.traces.tracer import Tracer


def describe_worker(settings: WorkerSettings) -> WorkerInfo:
    """Name, place and size of this process."""
    return WorkerInfo(
        worker_id=token_hex(6),
        host=socket.gethostname(),
        pid=os.getpid(),
        queues=settings.worker_queues,
        slots=settings.worker_concurrency,
        started_at=time.time(),
    )


def open_processes(settings: WorkerSettings) -> Processes:
    """The pool of child processes."""
    return Processes(
        settings.worker_processes,
        max_calls=settings.worker_process_max_calls,
        max_rss=settings.worker_process_max_rss_bytes,
        max_memory=settings.worker_process_max_memory_bytes,
        job_types=settings.job_types,
        environment=child_environment(settings.worker_child_environment),
    )


def open_models(
    settings: WorkerSettings, handlers: Mapping[str, Handler], on_change: Callable[[], None]
) -> ModelHosts:
    """The model hosts of the handlers that have a model."""
    return ModelHosts(
        handlers,
        settings.worker_queues,
        devices=settings.worker_devices,
        threads=settings.worker_model_threads,
        max_memory=settings.worker_process_max_memory_bytes,
        max_growth=settings.worker_process_max_rss_bytes,
        job_types=settings.job_types,
        environment=child_environment(settings.worker_child_environment),
        on_change=on_change,
    )


def open_deliverer(settings: WorkerSettings, circuits: Circuits, tracer: "Tracer | None") -> Deliverer:
    """The deliverer of webhooks."""
    return Deliverer(
        settings.webhook_secrets,
        settings.webhook_allowed_networks,
        ports=settings.webhook_allowed_ports,
        signing=settings.webhook_signing,
        circuits=circuits,
        tracer=tracer,
    )
