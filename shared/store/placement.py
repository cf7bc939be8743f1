"""Placement: the choice of a shard for new jobs."""

from collections.abc import Sequence

from shared.ids import on_shard
from shared.store.shards import Shards
from shared.store.submission import JobQuota, NewJob


class Placement:
    """Chooses the shard of new jobs, and writes it into their ids. A batch goes whole to one shard.

    1. Jobs that name uploaded files go to the shard of the files, the first one.
    2. Those of a caller with a quota go to the caller's shard, where they are counted.
    3. Those with an idempotency key go to the shard of that key, so that a repeat meets the first job.
    4. All others go to the shards in turn, as far as those answer and have their replicas.

    A submission never goes on to another shard: one that too few replicas have confirmed is written, and its
    removal would need the replicas too, so that there could be two jobs.

    Args:
        shards: the shards.

    Attributes:
        missing: those that do not answer: their jobs are missing in lists.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self.missing = shards.missing

    def place(self, jobs: Sequence[NewJob], quota: JobQuota | None) -> None:
        shard = self._choose(jobs, quota)
        for job in jobs:
            job.job_id = on_shard(job.job_id, shard)

    def _choose(self, jobs: Sequence[NewJob], quota: JobQuota | None) -> int:
        if any(job.files for job in jobs):
            return 0
        if quota is not None:
            return self._shards.of_name(quota.caller)
        for job in jobs:
            if job.idempotency_key:
                return self._shards.of_name(f"{job.caller or '-'}:{job.idempotency_key}")
        return self._shards.next_in_turn()
