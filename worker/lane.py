"""Lane: claims jobs from some queues for a number of slots, and writes their outcomes."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress

from shared.errors import QueueUnavailable
from shared.logging import get_log
from shared.store.job_leases import Finished, JobLeases, Step
from shared.store.retention import Retention
from worker.running_jobs import RunningJobs

WAKE_UP_SECONDS = 5.0
LARGEST_BATCH = 500
LARGEST_STEP_BYTES = 1 << 20  # of outcomes: on a slow link a larger step would hold up the claims

log = get_log(__name__)


class Lane:
    """Claims jobs for its free slots, and writes the outcomes of their attempts.

    Two tasks share the work:

    - the pump sends finished attempts to Redis and brings new claims, in one call;
    - the waker, when there is nothing to do, waits for the wake-up of a new job.

    Args:
        worker_id: the id under which steps are numbered; no other lane has it.
        queues: the queues to claim from, in strict order.
        jobs: the attempts under way, with their slots.
        lease: seconds for which a claim holds without a heartbeat.
        retention: how long finished jobs are kept.
        job_leases: for the steps.
        idle_leases: for the waker, which blocks its connection.
        on_step: called just before a step goes out.
        on_change: called when a job has ended or a step is done.
        on_redis: called with each failure to reach Redis, and with None once a step was answered.
    """

    def __init__(
        self,
        worker_id: str,
        queues: Sequence[str],
        jobs: RunningJobs,
        *,
        lease: float,
        retention: Retention,
        job_leases: JobLeases,
        idle_leases: JobLeases,
        on_step: Callable[[], None],
        on_change: Callable[[], None],
        on_redis: Callable[[QueueUnavailable | None], None],
    ) -> None:
        self.worker_id = worker_id
        self.queues = queues
        self.jobs = jobs
        self._lease = lease
        self._retention = retention
        self._job_leases = job_leases
        self._idle_leases = idle_leases
        self._on_step = on_step
        self._on_change = on_change
        self._on_redis = on_redis
        self._share = -(-jobs.size // 2)  # jobs to claim at once: Redis gets the next while these run
        self._steps = 0
        self._claiming = True
        self._stepping = False
        self._work = asyncio.Event()  # for the pump: something has finished, or may be due
        self._idle = asyncio.Event()  # for the waker: the pump rests, and slots are free
        jobs.on_end = self._notice

    @property
    def free(self) -> int:
        """The number of jobs to claim now."""
        return self.jobs.free if self._claiming else 0

    @property
    def stepping(self) -> bool:
        """Whether a step is on its way."""
        return self._stepping

    @property
    def open_step(self) -> int:
        """The number of the step that is on its way; 0 if none is."""
        return self._steps if self._stepping else 0

    def stop_claiming(self) -> None:
        self._claiming = False

    async def pump(self) -> None:
        """Make steps while there are outcomes to write or jobs that may be due; rest otherwise."""
        more_due, wait = True, 0.0
        while True:
            if not self.jobs.finished and not (more_due and self.free > 0):
                await self._rest(wait)
            self._work.clear()  # before the step: events from now on need another step
            finished = _batch(self.jobs.finished)
            wanted = min(self.free, self._share)
            if not self._stepping:  # else the pump was cancelled within a step, which is repeated
                self._steps += 1
            self._stepping = True
            self._on_step()
            step = await self._step(finished, wanted)
            self._stepping = False
            self.jobs.forget_finished(len(finished))
            self._on_change()
            for claim in step.claims:
                self.jobs.start(claim)
            _log_step(finished, step)
            more_due = len(step.claims) == wanted
            beat = self._lease / 3
            wait = beat if step.wait is None else min(step.wait, beat)

    async def waker(self) -> None:
        """Wait for the wake-up of a new job, but only while the pump rests and slots are free."""
        while True:
            await self._idle.wait()
            try:
                queue = await self._idle_leases.wait_for_wake_up(self.queues, WAKE_UP_SECONDS)
                if queue is None:
                    continue
                if self.free > 0:
                    self._work.set()
                else:
                    await self._job_leases.return_wake_up(queue)
                    self._idle.clear()
            except QueueUnavailable:
                self._work.set()  # the pump meets the same error, and logs it
                await asyncio.sleep(random.uniform(0.2, 0.5))

    async def _rest(self, seconds: float) -> None:
        if self.free > 0:
            self._idle.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._work.wait()
        self._idle.clear()

    async def _step(self, finished: list[Finished], wanted: int) -> Step:
        """Make a step, repeated until Redis answers; once the worker drains, a repeat claims nothing new."""
        pause = 0.05
        while True:
            try:
                step = await self._job_leases.step(
                    self.worker_id,
                    self._steps,
                    self.queues,
                    finished,
                    slots=min(wanted, self.free),
                    lease=self._lease,
                    retention=self._retention,
                )
            except QueueUnavailable as error:
                self._on_redis(error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, 1.0)
            else:
                self._on_redis(None)
                return step

    def _notice(self) -> None:
        """Wake the pump, which has an outcome to send, and a shutdown, which may be done."""
        self._work.set()
        self._on_change()


def _batch(finished: list[Finished]) -> list[Finished]:
    """As many outcomes as one step may carry, and at least one if there is any."""
    room = LARGEST_STEP_BYTES
    for number, done in enumerate(finished[:LARGEST_BATCH]):
        room -= len(done.outcome.body) + len(done.lines) + len(done.progress) + len(done.artifacts)
        if room < 0:
            return finished[: max(number, 1)]
    return finished[:LARGEST_BATCH]


def _log_step(finished: list[Finished], step: Step) -> None:
    for done, accepted in zip(finished, step.accepted, strict=True):
        if not accepted:
            claim = done.claim
            log.warning("outcome refused: the lease was lost", job_id=claim.job_id, attempt=claim.attempt)
    for job_id in step.rescued:
        log.warning("rescued a job whose worker was lost", job_id=job_id)
