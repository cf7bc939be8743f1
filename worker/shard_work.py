"""ShardWork: the connections, lanes and services of a worker for one shard."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from arq import ArqRedis

from shared.errors import QueueUnavailable
from shared.metrics.series import Histogram
from shared.store.client import sentinels_of
from shared.store.job_leases import JobLeases
from shared.store.moves import Move
from shared.store.retention import Retention
from shared.store.upkeep import Upkeep
from worker.connections import Connections
from worker.lane import WAKE_UP_SECONDS, Lane
from worker.lane_pair import LanePair
from worker.metrics.lane_metrics import LaneMetrics
from worker.running_jobs import RunningJobs
from worker.services.cancellation_listener import CancellationListener
from worker.services.reporter import Reporter
from worker.services.rescuer import Rescuer

Service = Callable[[], Coroutine[Any, Any, None]]


class ShardWork:
    """The part of a worker that serves one shard; without shards there is one part.

    Args:
        redis: the client that leads to the shard.
        lease: seconds for which a claim holds without a heartbeat.
        retention: how long finished jobs are kept.
        durations: observes the seconds of each call; None without metrics.

    Attributes:
        connection: for all calls but those that wait.
        report_due: set when a job of the shard has something to report.
        lanes: set once they are open.
    """

    lanes: LanePair

    def __init__(
        self, redis: ArqRedis, *, lease: float, retention: Retention, durations: Histogram | None
    ) -> None:
        self.connections = Connections(redis, durations)
        self.connection = self.connections.open(timeout=5.0)
        self.job_leases = JobLeases(self.connection)
        self.report_due = asyncio.Event()
        self._redis = redis
        self._lease = lease
        self._retention = retention

    def open_lane(
        self,
        worker_id: str,
        queues: Sequence[str],
        jobs: RunningJobs,
        *,
        on_leases: Callable[[], None],
        on_change: Callable[[], None],
        metrics: LaneMetrics | None,
    ) -> Lane:
        return Lane(
            worker_id,
            queues,
            jobs,
            lease=self._lease,
            retention=self._retention,
            job_leases=self.job_leases,
            idle_leases=JobLeases(self.connections.open(timeout=WAKE_UP_SECONDS * 2, waits=True)),
            on_leases=on_leases,
            on_change=on_change,
            on_redis=self.connections.note_answer,
            metrics=metrics,
        )

    def services(self, on_moves: Callable[[Sequence[Move]], None] | None) -> list[Service]:
        """The tasks of the lanes, and the services for their jobs."""
        upkeep = Upkeep(self.connection, self._retention)
        return [
            *(service for lane in self.lanes for service in (*(pump.run for pump in lane.pumps), lane.waker)),
            CancellationListener(self.connections, self.lanes).run,
            Reporter(self.lanes, self.job_leases, self.report_due).run,
            Rescuer(upkeep, self.lanes.queues, lease=self._lease, on_moves=on_moves).run,
            *([self.connections.watch_primary] if sentinels_of(self._redis) else []),
        ]

    async def leave(self) -> None:
        """Remove the worker from the shard's list of workers."""
        with suppress(QueueUnavailable):
            for lane in self.lanes:
                await self.job_leases.leave(lane.worker_id, lane.queues)


def share_slots(lanes: Sequence[Lane]) -> None:
    """Let lanes of several shards share the slots of one of them."""
    for lane in lanes:
        lane.others = [other for other in lanes if other is not lane]
        lane.jobs.others = [other.jobs for other in lane.others]
