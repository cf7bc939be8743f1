"""The reference store: the result of each call in plain Python, without batches, scripts or Redis."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shared.store.job_leases import Claim, Finished, Outcome, OutcomeKind

LATER = float("inf")
REQUEUED = 1e9  # due time of a job that this step put at the end of its queue
REQUEUING = (OutcomeKind.RETRY, OutcomeKind.RELEASED, OutcomeKind.RETURNED)
PARAMS, MAX_WAITING = b'{"n":1}', 5


@dataclass
class ReferenceJob:
    """A job. `due` is its place in the queue; `lease` is the fencing token of the held claim, or 0."""

    job_id: str
    queue: str
    max_attempts: int
    due: float
    state: str = "pending"
    version: int = 1
    attempt: int = 0
    claims: int = 0
    lease: int = 0
    lost: int = 0  # the fencing token of the last claim whose lease ran out
    expired: bool = False
    cancel_requested: bool = False
    moved: bool = False  # the job has another place than at first, so its record has a run_at
    worker: str = ""
    result: bytes = b""
    progress: bytes = b""
    errors: list[tuple[str, int]] = field(default_factory=list)

    def end(self, state: str) -> None:
        self.state, self.lease = state, 0
        self.version += 1

    def requeue(self, due: float | None) -> None:
        """Put the job back: with another due time, or in its former place."""
        if self.cancel_requested:
            self.end("cancelled")
            return
        self.state, self.lease, self.worker, self.progress = "pending", 0, "", b""
        if due is not None:
            self.due, self.moved = due, True
        self.version += 1


@dataclass
class ReferenceWorker:
    """The memory of a worker: per pump, its last step that claimed, and the claims of that step.

    Once it has sent a heartbeat, it lives.
    """

    queues: tuple[str, ...]
    lives: bool = False
    steps: dict[int, int] = field(default_factory=dict)
    claimed: dict[int, list[tuple[ReferenceJob, int]]] = field(default_factory=dict)


class ReferenceStore:
    """The whole state, with a method for each call of JobQueue and JobLeases."""

    def __init__(self, workers: dict[str, tuple[str, ...]]) -> None:
        self.jobs: dict[str, ReferenceJob] = {}
        self.workers = {name: ReferenceWorker(queues) for name, queues in workers.items()}
        self.paused: set[str] = set()
        self._clock = 0

    def tick(self) -> int:
        self._clock += 1
        return self._clock

    def waiting(self, queue: str) -> list[ReferenceJob]:
        return [job for job in self.jobs.values() if job.queue == queue and job.state == "pending"]

    def submit(self, job_id: str, queue: str, max_attempts: int) -> bool:
        """Add a job; returns False if the queue is full."""
        if job_id in self.jobs:
            return True
        if len(self.waiting(queue)) >= MAX_WAITING:
            return False
        self.jobs[job_id] = ReferenceJob(job_id, queue, max_attempts, due=self.tick())
        return True

    def cancel(self, job_id: str) -> str:
        job = self.jobs[job_id]
        if job.state == "pending":
            job.cancel_requested = True
            job.end("cancelled")
        elif job.state == "running":
            job.version += not job.cancel_requested
            job.cancel_requested = True
            if job.expired:
                self._lose_worker(job)
            else:
                return "cancelling"
        return "cancelled" if job.state == "cancelled" else "finished"

    def cancel_all(self, ids: Sequence[str], state: str) -> list[str]:
        """Cancel several jobs, those in a state alone if one is given; returns the result of each."""
        results = []
        for job_id in ids:
            job = self.jobs.get(job_id)
            if job is None:
                results.append("missing")
            elif state and job.state != state:
                results.append("kept")
            else:
                results.append("finished" if job.state == "cancelled" else self.cancel(job_id))
        return results

    def step(
        self, name: str, pump: int, number: int, finished: Sequence[Finished], slots: int
    ) -> tuple[list[bool], set[str], list[Claim]]:
        """Make a step; returns whether each outcome is accepted, the rescued jobs, and the claims."""
        worker = self.workers[name]
        held = {done.claim.lease for done in finished if self._holds(done.claim)}
        accepted = [self._finish(name, done, done.claim.lease in held) for done in finished]
        rescued = {job.job_id for queue in worker.queues for job in self._rescue(queue)}
        last = worker.steps.get(pump, 0)
        if number == last:
            claimed = [(job, claim) for job, claim in worker.claimed[pump] if job.lease == claim]
        else:
            claimed = self._claim(name, slots) if number > last else []
        if number > last and claimed:
            worker.steps[pump], worker.claimed[pump] = number, claimed
        for job in sorted(self.jobs.values(), key=lambda job: job.job_id):
            if job.state == "pending" and job.due == REQUEUED:
                job.due = self.tick()
        return accepted, rescued, [as_claim(job, claim) for job, claim in claimed]

    def step_claims(self, name: str, pump: int, number: int) -> list[str]:
        """The leases of a step's claims, if the step was the pump's last that claimed."""
        worker = self.workers[name]
        if worker.steps.get(pump) != number:
            return []
        return [f"{claim}:{job.job_id}" for job, claim in worker.claimed[pump]]

    def return_claims(self, name: str, claims: Sequence[Claim]) -> list[bool]:
        """Return claims that were not started; returns whether each one is accepted."""
        returned = [Finished(claim, Outcome(OutcomeKind.RETURNED)) for claim in claims]
        return [self._finish(name, done, self._holds(done.claim)) for done in returned]

    def beat(self, name: str, claims: Iterable[Claim]) -> tuple[set[str], set[str]]:
        self.workers[name].lives = True
        lost, cancelled = set(), set()
        for claim in claims:
            job = self.jobs[claim.job_id]
            if not self._holds(claim):
                lost.add(claim.lease)
                continue
            job.expired = False
            if job.worker != name:
                lost.add(claim.lease)
            elif job.cancel_requested:
                cancelled.add(claim.lease)
        return lost, cancelled

    def report(self, claim: Claim, progress: bytes) -> set[str]:
        job = self.jobs[claim.job_id]
        if not self._holds(claim):
            return set()
        job.progress = progress
        job.version += 1
        return {job.job_id} if job.cancel_requested else set()

    def _holds(self, claim: Claim) -> bool:
        return self.jobs[claim.job_id].lease == claim.fencing_token

    def _finish(self, name: str, done: Finished, held: bool) -> bool:
        job, kind = self.jobs[done.claim.job_id], done.outcome.kind
        requeued = kind in REQUEUING
        if job.worker not in ("", name):
            return False
        if not held:
            same = {"pending", "cancelled"} if requeued else {kind.value}
            return job.claims == done.claim.fencing_token != job.lost and job.state in same
        if requeued:
            job.requeue(_due(kind, done.outcome.delay))
        else:
            job.end(kind.value)
            job.result = done.outcome.body if kind is OutcomeKind.COMPLETED else b""
            job.progress = done.progress or job.progress
        if kind in (OutcomeKind.FAILED, OutcomeKind.RETRY):
            job.errors.append(("broken", job.attempt))
        job.attempt -= kind in (OutcomeKind.RELEASED, OutcomeKind.RETURNED)
        return True

    def _rescue(self, queue: str) -> list[ReferenceJob]:
        lost = [job for job in self.jobs.values() if job.queue == queue and job.lease and job.expired]
        for job in lost:
            self._lose_worker(job)
        return lost

    def _lose_worker(self, job: ReferenceJob) -> None:
        job.lost = job.lease
        if self.workers[job.worker].lives:  # and does not keep the lease: a fail-over has lost a write
            job.requeue(None)
            job.attempt -= 1
            return
        job.errors.append(("worker_lost", job.attempt))
        if job.attempt < job.max_attempts or job.cancel_requested:
            job.requeue(REQUEUED)
        else:
            job.end("failed")

    def _claim(self, name: str, slots: int) -> list[tuple[ReferenceJob, int]]:
        """Due jobs, the worker's queues in strict order, each by due time and then by id."""
        worker = self.workers[name]
        order = [
            job
            for queue in worker.queues
            if queue not in self.paused
            for job in sorted(self.waiting(queue), key=lambda job: (job.due, job.job_id))
            if job.due != LATER
        ]
        claimed = [(job, job.claims + 1) for job in order[:slots]]
        for job, claim in claimed:
            job.state, job.worker, job.expired = "running", name, False
            job.attempt, job.claims, job.lease = job.attempt + 1, claim, claim
            job.version += 1
        return claimed


def _due(kind: OutcomeKind, delay: int) -> float | None:
    """The due time of a job that is put back; None for its former place."""
    if kind is OutcomeKind.RETURNED or (kind is OutcomeKind.RELEASED and not delay):
        return None
    return LATER if delay else REQUEUED


def as_claim(job: ReferenceJob, claim: int) -> Claim:
    return Claim(
        job.queue,
        job.job_id,
        claim,
        job.attempt,
        job.max_attempts,
        job.job_id.encode(),
        PARAMS,
        "r-" + job.job_id,
        f"{claim}:{job.job_id}",
    )
