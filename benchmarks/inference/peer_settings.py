"""The settings of a peer that serves models, as its setup gives them to its processes."""

import os
from dataclasses import asdict, dataclass

PREFIX = "PEER_"


@dataclass(frozen=True)
class PeerSettings:
    """The settings of a peer.

    Attributes:
        workers: processes that hold the model.
        threads: threads of each model.
        size: items of a batch at most.
        wait: seconds that a batch may wait for more items; for BentoML the latency that it must keep.
        http_processes: processes that speak HTTP, where they are not those that hold the model.
        fast_queue: whether LitServe's processes exchange items by ZeroMQ.
    """

    workers: int = 1
    threads: int = 1
    size: int = 32
    wait: float = 0.0
    http_processes: int = 1
    fast_queue: bool = False

    def environment(self) -> dict[str, str]:
        return {PREFIX + name.upper(): str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_environment(cls) -> "PeerSettings":
        def read(name: str, default: str) -> str:
            return os.environ.get(PREFIX + name, default)

        return cls(
            workers=int(read("WORKERS", "1")),
            threads=int(read("THREADS", "1")),
            size=int(read("SIZE", "32")),
            wait=float(read("WAIT", "0")),
            http_processes=int(read("HTTP_PROCESSES", "1")),
            fast_queue=read("FAST_QUEUE", "False") == "True",
        )
