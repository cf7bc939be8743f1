"""The setups of the comparison, a row of the tables each.

The threads of the models of a row add up to the number of CPUs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.inference.peer_settings import PeerSettings
from benchmarks.peer_environments import find_version

MODELS = ("device", "embedding")
BATCH = 32  # items of a batch at most
CPUS = os.cpu_count() or 1
HOSTS = "WORKER_DEVICES"
THREADS = "WORKER_MODEL_THREADS"


@dataclass(frozen=True)
class Setup:
    """A model server in one setup.

    Attributes:
        name: the name of the row.
        module: `job_server`, or the module of a peer in benchmarks/inference.
        text: the setup, in a few words.
        variant: the job types of this project's rows: `batched`, `single` or `in_process`.
        environment: variables for this project's processes.
        settings: the settings of a peer for each model.
    """

    name: str
    module: str
    text: str
    variant: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    settings: Mapping[str, PeerSettings] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version of a peer, empty for this project."""
        package = self.module.removesuffix("_server")
        return "" if self.module == "job_server" else find_version(self.module, package)


def _ours(name: str, variant: str, text: str, hosts: int = 1) -> Setup:
    environment = ((HOSTS, ",".join(["cpu"] * hosts)), (THREADS, str(CPUS // hosts or 1)))
    return Setup(name, "job_server", text, variant, environment)


def _litserve(name: str, workers: int) -> Setup:
    """LitServe. Two processes for HTTP are slower on two CPUs; other sizes and waits are no faster."""
    settings = PeerSettings(
        workers=workers, threads=CPUS // workers or 1, size=BATCH, wait=0.005, fast_queue=True
    )
    text = f"max_batch_size={BATCH}, batch_timeout=5 ms, fast_queue, workers_per_device={workers}"
    return Setup(name, "litserve_server", text, settings=dict.fromkeys(MODELS, settings))


def _bentoml(name: str, workers: int) -> Setup:
    """BentoML. Larger batches than these are slower."""
    settings = {
        model: PeerSettings(workers=workers, threads=CPUS // workers or 1, size=size, wait=10)
        for model, size in zip(MODELS, (BATCH, BATCH // 2), strict=True)
    }
    text = (
        f"batchable, max_batch_size={BATCH} ({BATCH // 2} for texts), max_latency_ms=10000, workers={workers}"
    )
    return Setup(name, "bentoml_server", text, settings=settings)


UNBATCHED = _ours("unbatched", "single", "a model host, batches of one")
SETUPS = (
    UNBATCHED,
    _ours("batched", "batched", f"a model host, batches of up to {BATCH}"),
    _ours("batched_2_hosts", "batched", "the same with two model hosts", hosts=2),
    _ours("in_process", "in_process", "a call of in_process for each job, a child process per CPU"),
    _litserve("litserve", 1),
    _litserve("litserve_2_workers", 2),
    _bentoml("bentoml", 1),
    _bentoml("bentoml_2_workers", 2),
)
