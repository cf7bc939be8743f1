"""ModelHosts: the model hosts of a worker, one for each of its models and devices."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import orjson

from shared.cpus import available_cpus
from shared.job_type_loader import OWN_PACKAGES
from shared.logging import get_log
from worker.handler import Handler
from worker.models.batch import Device
from worker.models.batcher import Batcher
from worker.models.handler import ModelHandler
from worker.models.host import ModelHost, Surroundings
from worker.processes.child_counts import ChildCounts
from worker.processes.environment import child_environment
from worker.processes.keepers import Keepers
from worker.processes.plain_pickles import Packages

CPU = "cpu"
POSTPONE_SECONDS = 1.0  # of jobs that wait for their model in a queue with other types
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

log = get_log(__name__)


class ModelHosts:
    """The model hosts of a worker, and the queues that wait for their models.

    Args:
        handlers: the handlers by job type.
        queues: the queues that the worker serves.
        devices: as WORKER_DEVICES names them; each model has a host on each.
        threads: threads of a host; 0 for the CPUs divided by the hosts of a model.
        max_memory: bytes that a host may take; 0 for no bound.
        max_growth: bytes beyond those after its setup, above which a host is replaced.
        job_types: the packages of job types.
        environment: the variables of the processes.
        on_change: called when the state of a host has changed.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        queues: Collection[str],
        *,
        devices: Sequence[str] = (CPU,),
        threads: int = 0,
        max_memory: int = 0,
        max_growth: int,
        job_types: Packages = OWN_PACKAGES,
        environment: Mapping[str, str] | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_change = on_change
        self._threads = threads or max(1, available_cpus() // len(devices))
        self._max_memory, self._max_growth = max_memory, max_growth
        self._job_types = job_types
        self._environment = child_environment() if environment is None else environment
        self._keepers = Keepers()
        served = [handler for handler in handlers.values() if handler.job_type.queue in queues]
        queues_served = Counter(handler.job_type.queue for handler in served)
        self._handlers = [handler for handler in served if isinstance(handler, ModelHandler)]
        self._shared = {h.job_type.queue for h in served if not isinstance(h, ModelHandler)}
        self._hosts = [self._open(handler, label) for handler in self._handlers for label in devices]
        for handler in self._handlers:
            hosts = [host for host in self._hosts if host.handler is handler]
            handler.batcher = Batcher(handler.batch, hosts)
            if queues_served[handler.job_type.queue] > 1:  # it may stay open while this model is not loaded
                handler.batcher.postpone_seconds = POSTPONE_SECONDS

    @property
    def closed_queues(self) -> set[str]:
        """The queues without a job that could start now: no model of their job types is loaded."""
        ready = {h.job_type.queue for h in self._handlers if h.batcher.ready}
        return {h.job_type.queue for h in self._handlers} - ready - self._shared

    @property
    def states(self) -> bytes:
        """The state of each host as JSON, for the heartbeat; empty without hosts."""
        states = [
            host.names | {"state": host.state, "since": round(host.since, 3), "error": host.error[:500]}
            for host in self._hosts
        ]
        return orjson.dumps(states) if states else b""

    @property
    def counts(self) -> ChildCounts:
        """The processes of all hosts, and their ends so far."""
        return ChildCounts.sum_of(host.counts for host in self._hosts)

    def start(self, concurrency: int) -> None:
        """Start the hosts in the background."""
        for handler in self._handlers:
            _advise(handler, concurrency, shared=handler.job_type.queue in self._shared)
        if self._hosts:
            self._keepers.open()
            self._keepers.start(host.keep(self._surroundings(host)) for host in self._hosts)

    async def close(self) -> None:
        """Kill the processes, whatever they do."""
        await self._keepers.close()

    def _open(self, handler: ModelHandler, label: str) -> ModelHost:
        device = Device(CPU if label == CPU else "cuda", self._threads)

        def change() -> None:
            handler.batcher.note_hosts()
            self._on_change()

        return ModelHost(handler, device, label, change)

    def _surroundings(self, host: ModelHost) -> Surroundings:
        threads = dict.fromkeys(THREADS, str(self._threads))
        visible = {"CUDA_VISIBLE_DEVICES": "" if host.label == CPU else host.label}
        return Surroundings(
            self._keepers.lifeline,
            self._max_memory,
            self._max_growth,
            self._job_types,
            {**threads, **self._environment, **visible},
        )


def _advise(handler: ModelHandler, concurrency: int, *, shared: bool) -> None:
    """Say what keeps the batches of a type small, or its jobs waiting."""
    name, size = handler.job_type.name, handler.batch.size
    if size > 1 and concurrency < 2 * size:
        log.warning(
            "batches stay small: set WORKER_CONCURRENCY to twice the batch size or more",
            type=name,
            batch_size=size,
            concurrency=concurrency,
        )
    if shared:
        log.warning(
            "a model shares its queue with other job types, so its jobs are postponed while it loads; give "
            "the job type a queue of its own",
            type=name,
            queue=handler.job_type.queue,
        )
