"""LanePair: both lanes of a worker together, as its services and its shutdown see them."""

from collections.abc import Collection, Iterator, Sequence

from worker.lane import Lane


class LanePair:
    """The lane of the jobs and that of the webhooks: neither waits for the slots of the other."""

    def __init__(self, jobs: Lane, webhooks: Lane) -> None:
        self.jobs = jobs
        self.webhooks = webhooks
        self._lanes: Sequence[Lane] = (jobs, webhooks)

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

    def note_room_for_webhooks(self) -> None:
        """Start deliveries that are held: slots may have become free."""
        self.webhooks.jobs.note_room()

    def abandon(self) -> None:
        """Settle every attempt, whatever its handler still does."""
        for lane in self._lanes:
            lane.jobs.abandon()


class AllLanes(LanePair):
    """The lanes of all shards; `jobs` and `webhooks` are those of the first one."""

    def __init__(self, pairs: Sequence[LanePair]) -> None:
        super().__init__(pairs[0].jobs, pairs[0].webhooks)
        self._pairs = pairs
        self._lanes = [lane for pair in pairs for lane in pair]

    def note_room_for_webhooks(self) -> None:
        for pair in self._pairs:
            pair.webhooks.jobs.note_room()
