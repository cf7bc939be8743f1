"""Lane: claims jobs from some queues for a number of slots, and writes their outcomes."""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from shared.errors import QueueUnavailable
from shared.logging import get_log
from shared.store.job_leases import Finished, JobLeases, OutcomeKind, Step
from shared.store.retention import Retention
from worker.metrics.lane_metrics import LaneMetrics
from worker.running_jobs import RunningJobs

WAKE_UP_SECONDS = 5.0
CLOSED_SECONDS = 0.25  # in place of it while a queue is closed, which may open meanwhile
LARGEST_BATCH = 100  # jobs of a step: Redis does nothing else meanwhile
MANY_FINISHED = 10  # attempts, for which a second step goes out while the first is under way
LARGEST_STEP_BYTES = 1 << 20  # of outcomes: on a slow link a larger step would hold up the claims

log = get_log(__name__)


class Lane:
    """Claims jobs for its free slots, and writes the outcomes of their attempts.

    Three tasks share the work:

    - two pumps send finished attempts to Redis and bring new claims, in one call; the second makes a step
      only while the first waits for Redis and many attempts have finished meanwhile;
    - the waker, when there is nothing to do, waits for the wake-up of a new job.

    Args:
        worker_id: the id under which steps are numbered; no other lane has it.
        queues: the queues to claim from, in strict order, as far as they are open.
        jobs: the attempts under way, with their slots.
        lease: seconds for which a claim holds without a heartbeat.
        retention: how long finished jobs are kept.
        job_leases: for the steps.
        idle_leases: for the waker, which blocks its connection.
        on_leases: called just before a step goes out, and before the handlers of its claims begin.
        on_change: called when a job has ended or a step is done.
        on_redis: called with each failure to reach Redis, and with None once a step was answered.
        metrics: counts outcomes; None without metrics.

    Attributes:
        others: lanes of other shards, which share the slots of this one.
        away: whether Redis did not answer the last step.
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
        on_leases: Callable[[], None],
        on_change: Callable[[], None],
        on_redis: Callable[[QueueUnavailable | None], None],
        metrics: LaneMetrics | None = None,
    ) -> None:
        self.worker_id = worker_id
        self.queues = queues
        self.jobs = jobs
        self.lease = lease
        self.retention = retention
        self.job_leases = job_leases
        self.claiming = True
        self.closed: frozenset[str] = frozenset()
        self.others: Sequence[Lane] = ()
        self.away = False
        self._open_queues: Sequence[str] = queues
        self.pumps = (Pump(self, 1), Pump(self, 2))
        self.on_leases = on_leases
        self.on_change = on_change
        self.on_redis = on_redis
        self.metrics = metrics
        self._idle_leases = idle_leases
        self._more_due = True
        self._woken = False  # since the last step that asks for jobs has gone out
        self._look_at = 0.0  # when a job may be due, by the loop's clock
        self._work = asyncio.Event()  # for the pumps: something has finished, or may be due
        self._idle = asyncio.Event()  # for the waker: the pumps rest, and slots are free
        jobs.on_end = self._notice

    @property
    def open_queues(self) -> Sequence[str]:
        """The queues to claim from now."""
        return self._open_queues

    def close_queues(self, queues: Collection[str]) -> None:
        """Claim no job from these queues until the next call: their jobs could not start."""
        self.closed = frozenset(queues)
        self._open_queues = [queue for queue in self.queues if queue not in self.closed]
        self._look()

    @property
    def free(self) -> int:
        """The number of slots to claim jobs for."""
        return self.jobs.free if self.claiming and self.open_queues else 0

    @property
    def stepping(self) -> bool:
        """Whether a step is on its way."""
        return self.pumps[0].stepping or self.pumps[1].stepping

    def stop_claiming(self) -> None:
        self.claiming = False
        self.jobs.held.close()

    async def waker(self) -> None:
        """Wait for the wake-up of a new job, but only while the pumps rest and slots are free."""
        while True:
            await self._idle.wait()
            try:
                seconds = CLOSED_SECONDS if self.closed else WAKE_UP_SECONDS
                queue = await self._idle_leases.wait_for_wake_up(self.open_queues, seconds)
                if queue is None:
                    continue
                if self.free > 0:
                    self._look()
                else:
                    await self.job_leases.return_wake_up(queue)
                    self._idle.clear()
            except QueueUnavailable:
                self._look()  # the pump meets the same error, and logs it
                await asyncio.sleep(random.uniform(0.2, 0.5))

    # -- for the pumps

    @property
    def step_due(self) -> bool:
        """Whether there are outcomes to write, or jobs that may be due."""
        finished = len(self.jobs.finished)
        if self.stepping:
            return finished >= MANY_FINISHED
        if finished or (self._more_due and self.wanted):
            return True
        return asyncio.get_running_loop().time() >= self._look_at

    @property
    def wanted(self) -> int:
        """The number of jobs to claim now: half of those that there is room for at most.

        So Redis prepares the next jobs while the handlers of these run.
        """
        if not self.claiming or not self.open_queues:
            return 0
        asked = sum(pump.wanted for pump in self.pumps if pump.stepping)
        half = (self.jobs.size + self.jobs.held.most + 1) // 2
        if self.others:
            return max(
                0, min(self.jobs.room - asked - self._asked_by_others, self._share, half, LARGEST_BATCH)
            )
        return max(0, min(self.jobs.room - asked, half, LARGEST_BATCH))

    @property
    def _asked_by_others(self) -> int:
        """The number of jobs that steps of other shards ask for; a shard that is away brings none."""
        return sum(
            pump.wanted for lane in self.others if not lane.away for pump in lane.pumps if pump.stepping
        )

    @property
    def _share(self) -> int:
        """The number of jobs that this shard may have besides, while others have due jobs too."""
        hungry = 1 + sum(lane._more_due and not lane.away for lane in self.others)
        return -(-self.jobs.size // hungry) + self.jobs.held.most - len(self.jobs.running)

    async def rest(self) -> None:
        """Wait until an attempt has finished, or a job may be due."""
        self._work.clear()
        if self.stepping:
            await self._work.wait()  # of the second pump; the first one looks for due jobs
            return
        if self.free > 0:
            self._idle.set()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._look_at):
                await self._work.wait()
        self._idle.clear()

    def take(self, step: Step, wanted: int, asked_at: float) -> None:
        """Start the jobs that a step has brought."""
        self.jobs.take(step.claims, step.made_at, asked_at)
        if step.claims:
            self.on_leases()  # before their handlers begin: else the heartbeat might return claims that run
        if step.paused:
            self.jobs.return_held(step.paused)
        self._more_due = self._woken or len(step.claims) == wanted  # a wake-up may overtake an older reply
        if self.others and not self._more_due:
            for lane in self.others:
                lane.note_slot()  # the share that this shard does not need
        beat = self.lease / 3
        wait = beat if step.wait is None else min(step.wait, beat)
        self._look_at = asyncio.get_running_loop().time() + wait

    def _look(self) -> None:
        """Let a pump look for due jobs now; after its step, if one is on its way."""
        self._woken = True
        self._look_at = 0.0
        self._work.set()

    def _notice(self) -> None:
        """Wake a pump, which has an outcome to send, and a shutdown, which may be done."""
        if not self.stepping or len(self.jobs.finished) >= MANY_FINISHED:
            self._work.set()
        for lane in self.others:
            lane.note_slot()
        self.on_change()

    def note_step(self, wanted: int) -> None:
        """Note that a step goes out: one that asks for jobs finds those of the wake-ups so far."""
        if wanted:
            self._woken = False

    def note_slot(self) -> None:
        """Look for jobs again: another shard's job has left a slot."""
        if not self.stepping and self.jobs.free > 0:
            self._work.set()


class Pump:
    """Makes the steps of a lane, one at a time.

    Attributes:
        worker_id: the id of its lane.
        number: its own; Redis tells a repeated step by it and the step's number.
        stepping: whether a step is on its way.
        wanted: the number of jobs that the step asks for.
    """

    def __init__(self, lane: Lane, number: int) -> None:
        self.worker_id = lane.worker_id
        self.number = number
        self.stepping = False
        self.wanted = 0
        self._lane = lane
        self._step_number = 0
        self._asked_at = 0.0
        self._finished: list[Finished] = []

    @property
    def open_step(self) -> int:
        """The number of the step that is on its way; 0 if none is."""
        return self._step_number if self.stepping else 0

    async def run(self) -> None:
        """Make steps while they are due; rest otherwise."""
        lane = self._lane
        while True:
            while not self.stepping:  # else this task was cancelled within a step, which is repeated
                if lane.step_due:
                    self._begin()
                else:
                    await lane.rest()
            lane.on_leases()
            step = await self._step()
            self.stepping = False
            lane.jobs.forget(self._finished)
            lane.on_change()
            lane.take(step, self.wanted, self._asked_at)
            if lane.metrics is not None:
                lane.metrics.note_step(self._finished, step)
            _log_step(self._finished, step)

    def _begin(self) -> None:
        jobs = self._lane.jobs
        self.wanted, self._finished = self._lane.wanted, _batch(jobs.finished)
        jobs.send(self._finished)
        self._lane.note_step(self.wanted)
        self._step_number += 1
        self._asked_at = time.monotonic()
        self.stepping = True

    async def _step(self) -> Step:
        """Make the step, repeated until Redis answers; once the worker drains, it claims nothing new."""
        lane, pause = self._lane, 0.05
        while True:
            try:
                step = await lane.job_leases.step(
                    self.worker_id,
                    self._step_number,
                    lane.open_queues,
                    self._finished,
                    slots=self.wanted if lane.claiming else 0,
                    lease=lane.lease,
                    retention=lane.retention,
                    pump=self.number,
                )
            except QueueUnavailable as error:
                lane.away = True
                lane.on_redis(error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, 1.0)
            else:
                lane.away = False
                lane.on_redis(None)
                return step


def _batch(finished: list[Finished]) -> list[Finished]:
    """As many outcomes as one step may carry, and at least one if there is any."""
    room = LARGEST_STEP_BYTES
    for number, done in enumerate(finished[:LARGEST_BATCH]):
        room -= (
            len(done.outcome.body)
            + len(done.lines)
            + len(done.progress)
            + len(done.artifacts)
            + len(done.output)
        )
        if room < 0:
            return finished[: max(number, 1)]
    return finished[:LARGEST_BATCH]


def _log_step(finished: list[Finished], step: Step) -> None:
    for done, accepted in zip(finished, step.accepted, strict=True):
        if not accepted and done.outcome.kind is not OutcomeKind.RETURNED:  # else another has returned it
            claim = done.claim
            log.warning("outcome refused: the lease was lost", job_id=claim.job_id, attempt=claim.attempt)
    for job_id in step.rescued:
        log.warning("rescued a job whose worker was lost", job_id=job_id)
