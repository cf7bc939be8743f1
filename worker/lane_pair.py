"""LanePair: both lanes of a worker together, as its services and its shutdown see them."""

from collections.abc import Collection, Iterator

from worker.lane import Lane


class LanePair:
    """The lane of the jobs and that of the webhooks: neither waits for the slots of the other."""

    def __init__(self, jobs: Lane, webhooks: Lane) -> None:
        self.jobs = jobs
        self._lanes = (jobs, webhooks)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes)

    @property
    def queues(self) -> list[str]:
        return [queue for lane in self._lanes for queue in lane.queues]

    @property
    def running(self) -> int:
        """The number of attempts under way."""
        return sum(len(lane.jobs.running) for lane in self._lanes)

    @property
    def unwritten(self) -> int:
        """The number of ended attempts that Redis does not know of yet."""
        return sum(lane.jobs.unwritten for lane in self._lanes)

    @property
    def stepping(self) -> bool:
        """Whether any step is under way."""
        return any(lane.stepping for lane in self._lanes)

    def cancel(self, job_ids: set[str]) -> None:
        """Stop the attempts at these jobs, as far as they run here."""
        for lane in self._lanes:
            lane.jobs.cancel(job_ids)

    def tick(self) -> None:
        """Enforce the timeouts."""
        for lane in self._lanes:
            lane.jobs.tick()

    def stop_claiming(self) -> None:
        for lane in self._lanes:
            lane.stop_claiming()

    def close_queues(self, queues: Collection[str]) -> None:
        """Claim no job from these queues until the next call."""
        for lane in self._lanes:
            lane.close_queues(queues)

    def release(self) -> None:
        """Stop every attempt, so that its job goes back to the queue for another worker."""
        for lane in self._lanes:
            lane.jobs.release()

    def abandon(self) -> None:
        """Settle every attempt, whatever its handler still does."""
        for lane in self._lanes:
            lane.jobs.abandon()
