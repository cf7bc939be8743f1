"""The catalog of peers: packages, setup, and the number of jobs of a measurement of two seconds or more."""

from dataclasses import dataclass

from benchmarks.peer_environments import find_version


@dataclass(frozen=True)
class Peer:
    """A job system in one setup: a row of the tables.

    Attributes:
        name: the name of the row.
        module: the module in benchmarks/peers.
        packages: the distributions whose versions are shown.
        jobs: no-op jobs of one measurement.
        setup: its setup, in a few words.
        environment: variables for its processes.
        slots: the numbers of slots to measure; only 10 where more gain nothing.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    jobs: int
    setup: str
    environment: tuple[tuple[str, str], ...] = ()
    slots: tuple[int, ...] = (10, 100)

    @property
    def versions(self) -> str:
        return ", ".join(f"{package} {find_version(self.module, package)}" for package in self.packages)


OURS = Peer("job_server", "job_server", ("arq",), 80_000, "this project, full records, logs at WARNING")
LOGGING = Peer(
    "job_server_logging",
    "job_server",
    ("arq",),
    60_000,
    "the same, JSON logs at INFO",
    (("LOG_LEVEL", "INFO"),),
)
POLLING = Peer("arq_polling", "arq_polling", ("arq",), 4000, "poll_delay=0.01, orjson, no results, uvloop")
PEERS = (
    OURS,
    LOGGING,
    Peer("arq_default", "arq_default", ("arq",), 600, "as it comes", slots=(10,)),
    POLLING,
    Peer(
        "arq_records",
        "arq_records",
        ("arq",),
        3000,
        "arq_polling, and a record per change of state",
        slots=(10,),
    ),
    Peer("saq", "saq", ("saq",), 4000, "uvloop, orjson, no results"),
    Peer(
        "taskiq",
        "taskiq",
        ("taskiq", "taskiq-redis"),
        8000,
        "Redis streams, uvloop, no results, max_prefetch=100, no_parse, xread_count=1000",
    ),
    Peer("streaq", "streaq", ("streaq",), 2500, "uvloop, no results, prefetch=100", slots=(10,)),
    Peer(
        "dramatiq",
        "dramatiq",
        ("dramatiq",),
        12_000,
        "a thread per slot, dramatiq_queue_prefetch=1000",
        (("dramatiq_queue_prefetch", "1000"),),
    ),
    Peer(
        "docket",
        "docket",
        ("pydocket",),
        2500,
        "uvloop, no results, minimum_check_interval=10 ms",
        slots=(10,),
    ),
    Peer(
        "celery",
        "celery",
        ("celery",),
        2500,
        "prefork, a child per core, no results, prefetch 128",
        slots=(10,),
    ),
    Peer("rq", "rq", ("rq",), 800, "SimpleWorker: one job at a time", slots=(10,)),
)
