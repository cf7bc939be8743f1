"""ApiMetrics: the metrics of one API process, or of all processes of one API."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi import APIRouter

from api.metrics.http_metrics import HttpMetrics
from api.metrics.queue_gauges import QueueGauges
from shared.job_type_loader import JobTypesByName
from shared.metrics.engine import EndedJobs, declare_process, declare_redis_calls
from shared.metrics.loop_lag import declare_lag, watch_lag
from shared.metrics.metric_set import MetricSet
from shared.metrics.series import Counter
from shared.store.moves import Move
from shared.store.submission import NewJob, Submitted

FOLDER = (
    "JOB_SERVER_METRICS_FOLDER"  # in the environment of the processes of one API: the folder of their cells
)


@contextmanager
def shared_cells() -> Iterator[None]:
    """Within the block, the API processes that are started count together.

    A scrape reaches one of them, which then shows the sums of all. Their cells are in a folder that ends with
    the block.
    """
    with TemporaryDirectory(prefix="job-server-metrics-") as folder:
        os.environ[FOLDER] = folder
        yield


class ApiMetrics:
    """The metrics of the API. With several processes each of them shows the sums of all.

    Args:
        job_types: the job types.
        routers: the routers of the application.

    Attributes:
        set: the set of all metrics.
        http: the durations of requests.
        redis_calls: the durations of calls to Redis.
        lag: the lag of the event loop.
        queues: the states of the queues.
    """

    def __init__(self, job_types: JobTypesByName, routers: Iterable[APIRouter]) -> None:
        self.set = MetricSet()
        self._folder = Path(os.environ[FOLDER]) if os.environ.get(FOLDER) else None
        pairs = [(job_type.name, job_type.queue) for job_type in job_types.values()]
        submitted = self.set.counter(
            "jobs_submitted", "Jobs that the API has accepted.", ("type", "queue"), pairs
        )
        self._submitted: dict[str, Counter] = {
            name: counter for (name, _), counter in zip(pairs, submitted, strict=True)
        }
        self._ended = EndedJobs(self.set, job_types)
        self.http = HttpMetrics(self.set, routers)
        self.redis_calls = declare_redis_calls(self.set)
        self.lag = declare_lag(self.set)
        self.queues = QueueGauges(self.set)
        declare_process(self.set, alone=self._folder is None)

    async def keep_watching(self) -> None:
        """Measure the lag of the event loop until cancelled."""
        await watch_lag(self.lag)

    def open(self) -> None:
        self.set.open(self._folder)

    def close(self) -> None:
        self.set.close()

    def note_submitted(self, jobs: Sequence[NewJob], submitted: Sequence[Submitted]) -> None:
        """Count the jobs of a submission that are new."""
        for job, (_, replayed) in zip(jobs, submitted, strict=True):
            if not replayed:
                self._submitted[job.job_type.name].add()

    def note_moves(self, moves: Sequence[Move]) -> None:
        """Count the jobs that the API has ended or rescued."""
        self._ended.note_moves(moves)
