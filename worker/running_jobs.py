"""RunningJobs: the attempts under way in one lane, from their start to their outcome."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from math import inf

from shared.logging import get_log, log_context
from shared.store.job_leases import Claim, Finished, Outcome, OutcomeKind
from worker.attempt_end import finished_attempt, log_end
from worker.attempt_spans import AttemptSpans
from worker.context import JobContext, PendingReport, Tools
from worker.event_loop import create_task, own_task, owner_context
from worker.execute import execute, outcome_of_any_error, outcome_of_stop, prepare
from worker.handler import Handler
from worker.held_claims import STALE_SECONDS, HeldClaims
from worker.lease_snapshot import held_line, lease_line
from worker.metrics.lane_metrics import LaneMetrics
from worker.running_job import RunningJob, StopReason
from worker.timeouts import overdue

REPORTED_SECONDS = 0.05  # the age of an attempt whose late start is reported; else its outcome tells it

log = get_log(__name__)


class RunningJobs:
    """Starts attempts, stops them, and collects their outcomes.

    A claim for which no slot is free is held: it starts once a slot is free, or soon goes back to the queue.

    Args:
        size: the number of slots: attempts at once.
        handlers: the handlers by job type.
        max_result_bytes: the largest result that a job may have.
        tools: the worker's services for its handlers.
        on_report: called when a job has progress or log lines to send; from any thread.
        aside: counts the running attempts that need no slot now.
        most_aside: their bound.
        metrics: counts attempts; None without metrics.

    Attributes:
        size: the number of slots.
        most: attempts at once, with those that need no slot.
        on_end: called when an attempt has ended.
        spans: gives the attempts spans; None while TRACES is off.
        running: the attempts by their leases.
        ended: the number of attempts that have ended.
        others: those of the lanes that share the slots, one for each other shard.
        held: claims without a slot.
        finished: ended attempts that wait for the next step.
        sent: ended attempts that a step under way carries, per step.
        lease_lines: by lease, the lines of a snapshot: of running attempts, and of outcomes on their way.
        ticked_at: the time of the last tick, by the monotonic clock; an old one shows a blocked event loop.
            Infinite before the first tick.
        unblocked_at: the time at which the event loop was last found to have been blocked.
    """

    def __init__(
        self,
        size: int,
        handlers: Mapping[str, Handler],
        *,
        max_result_bytes: int,
        tools: Tools | None = None,
        on_report: Callable[[], object],
        aside: Callable[[], int] | None = None,
        most_aside: int = 0,
        metrics: LaneMetrics | None = None,
    ) -> None:
        self.size = size
        self.most = size + most_aside
        self.on_end: Callable[[], None] = lambda: None
        self.spans: AttemptSpans | None = None
        self.running: dict[str, RunningJob] = {}
        self.ended = 0
        self.others: Sequence[RunningJobs] = ()
        self.held = HeldClaims(size, lambda claims: self._end_held(claims, OutcomeKind.RETURNED))
        self.finished: list[Finished] = []
        self.sent: list[list[Finished]] = []
        self.lease_lines: dict[str, str] = {}
        self.ticked_at = inf
        self.unblocked_at = 0.0
        self._handlers = handlers
        self._max_result_bytes = max_result_bytes
        self._tools = tools
        self._on_report = on_report
        self._aside = aside
        self._metrics = metrics
        self._unfinished: set[asyncio.Task[None]] = set()  # of jobs that have ended here
        self._loop = asyncio.get_event_loop()

    @property
    def occupied(self) -> int:
        """The number of attempts under way in all lanes that share the slots."""
        return len(self.running) + sum(len(other.running) for other in self.others)

    @property
    def free(self) -> int:
        """The number of free slots."""
        occupied = self.occupied if self.others else len(self.running)
        if self._aside is None:
            return self.size - occupied
        return max(0, self.size + self._aside() - occupied)

    @property
    def room(self) -> int:
        """The number of claims that can be taken now: to start, and to hold."""
        return self.free + self.held.most - len(self.held)

    @property
    def unwritten(self) -> int:
        """The number of ended attempts that Redis does not know of yet."""
        return len(self.finished) + sum(map(len, self.sent))

    def take(self, claims: list[Claim], claimed_at: int, asked_at: float = inf) -> None:
        """Start the attempts of new claims as far as slots are free, and hold the other claims.

        Claims whose reply waited in a blocked event loop go back; the heartbeat process may have done so.

        Args:
            claimed_at: in milliseconds since the epoch, by Redis' clock.
            asked_at: the time at which the step that claimed them began, by the monotonic clock.
        """
        self._note_time()
        claims = self._new(claims)
        if self.unblocked_at >= asked_at:
            self._end_held(claims, OutcomeKind.RETURNED)
            return
        free = 0 if self.held else max(self.free, 0)
        for claim in claims[:free]:
            self.start(claim, claimed_at=claimed_at)
        for held in self.held.add(claims[free:], claimed_at):
            claim = held.claim
            self.lease_lines[claim.lease] = held_line(claim.queue, claim.lease, held.number)

    def _new(self, claims: list[Claim]) -> list[Claim]:
        """The claims without those of leases that are here already.

        A fail-over has lost these claims, and a step has made them again: the attempts that go on count. One
        that stops because its lease was lost does not; its new claim goes back.
        """
        known = [claim for claim in claims if claim.lease in self.lease_lines]
        if not known:
            return claims
        stopping = {lease for lease, job in self.running.items() if job.stop is StopReason.LEASE_LOST}
        self._end_held([claim for claim in known if claim.lease in stopping], OutcomeKind.RETURNED)
        return [claim for claim in claims if claim.lease not in self.lease_lines]

    def return_held(self, queues: Collection[str]) -> None:
        """Return the held claims of these queues, which no worker may claim from now."""
        self._end_held(self.held.drop(lambda claim: claim.queue in queues), OutcomeKind.RETURNED)

    def note_room(self) -> None:
        """Start held claims: slots may have become free, though no attempt has ended."""
        self._start_held()
        self.on_end()

    def start(self, claim: Claim, *, claimed_at: int = 0, held_until: int = 0) -> None:
        """Start the attempt of a claim; `claimed_at` as in `take`, `held_until` as in `RunningJob`."""
        context = JobContext.of(claim, self._on_report, self._tools)
        job = RunningJob(claim, context, time.monotonic(), held_until)
        try:  # noqa: SIM105  # without a cost for each job
            prepare(job, self._handlers)  # now, so that the next snapshot has the deadline
        except Exception:  # noqa: S110  # the attempt itself will fail with this error
            pass
        self.lease_lines[claim.lease] = lease_line(claim.queue, claim.lease, job.deadline)
        self.running[claim.lease] = job
        if self._metrics is not None:
            self._metrics.note_start(job, (held_until or claimed_at) - claim.due)
        job.task = own_task(self._loop, self._run(job), job)

    def cancel(self, job_ids: set[str]) -> None:
        """Stop the attempts at these jobs, as far as they run here."""
        for job in list(self.running.values()):
            if job.claim.job_id in job_ids:
                self._stop(job, StopReason.CANCELLED)
        dropped = self.held.drop(lambda claim: claim.job_id in job_ids)
        self._end_held(dropped, OutcomeKind.CANCELLED)

    def release(self) -> None:
        """Stop every attempt, so that its job goes back to the queue for another worker."""
        for job in list(self.running.values()):
            self._stop(job, StopReason.SHUTDOWN)

    def abandon(self) -> None:
        """Settle every attempt, whatever its handler still does."""
        for job in list(self.running.values()):
            self._abandon(job)

    def tick(self) -> None:
        """Enforce the timeouts, keep the leases of outcomes that are on their way, and report late starts."""
        self.ticked_at = now = self._note_time()
        for done in chain(
            self.finished, *self.sent
        ):  # for as long as Redis is away: no deadline ends the lease of an outcome
            self.lease_lines[done.claim.lease] = lease_line(done.claim.queue, done.claim.lease, inf)
        late, endless = overdue(self.running.values(), now)
        for job in endless:
            self._abandon(job)
        for job in late:
            self._stop(job, StopReason.TIMEOUT)
        for job in self.running.values():
            if job.held_until and not job.start_reported and now - job.started_at >= REPORTED_SECONDS:
                job.start_reported = job.context.unsent = True
                self._on_report()

    def pending_reports(self) -> list[tuple[RunningJob, PendingReport]]:
        """Progress and log lines of the running attempts that Redis does not have yet."""
        reports = []
        for job in self.running.values():
            if job.context.unsent:
                with suppress(Exception):  # of one job; those of the others are sent
                    reports.append((job, job.context.pending_report()))
        return reports

    def send(self, finished: list[Finished]) -> None:
        """Move the first ended attempts, which a step takes along, from `finished` to `sent`."""
        del self.finished[: len(finished)]
        self.sent.append(finished)
        self.held.ahead.note_ended(len(finished))

    def forget(self, finished: list[Finished]) -> None:
        """Forget ended attempts whose outcomes Redis knows: their leases are over."""
        self.sent.remove(finished)
        for done in finished:
            self.lease_lines.pop(done.claim.lease, None)

    # -- called in the heartbeat's thread

    def stop_soon(self, lost: set[str], cancelled: set[str]) -> None:
        """Stop the attempts of lost leases, and of leases whose jobs were cancelled, on the event loop."""
        self._loop.call_soon_threadsafe(self._stop_leases, lost, cancelled)

    def blocking_job(self) -> Claim | None:
        """The job that occupies the event loop at this moment."""
        task = asyncio.current_task(self._loop)
        return next((job.claim for job in self.running.copy().values() if job.task is task), None)

    # -- one attempt

    async def _run(self, job: RunningJob) -> None:
        owner_context.set(job)
        log_context.set(job.log_fields)
        try:
            if self.spans is not None:
                self.spans.begin(job)
            outcome = await execute(job, self._handlers, max_result_bytes=self._max_result_bytes)
        except BaseException as error:  # GeneratorExit is caught nowhere further in
            outcome = outcome_of_any_error(job, error)
        self._settle(job, outcome)

    def _settle(self, job: RunningJob, outcome: Outcome | None) -> None:
        """Free the attempt's slot and queue its outcome for the next step, whatever else fails."""
        if self.running.pop(job.claim.lease, None) is None:
            return  # abandoned before: the attempt has its outcome
        job.ended = True
        self.ended += 1
        job.task = None  # the task refers to the job: a cycle, which only the garbage collector would free
        if self._metrics is not None:
            self._metrics.note_end(job)
        if outcome is not None:
            done = finished_attempt(job, outcome)
            outcome = done.outcome
            self.finished.append(done)
        else:
            self.lease_lines.pop(job.claim.lease, None)
        if self.held:
            self._start_held()
        self.on_end()
        try:
            job.context.close()
            log_end(job, outcome)
            if self.spans is not None:
                self.spans.end(job, outcome)
        except Exception:  # noqa: S110  # a log that can't be written must not end the worker
            pass
        if job.context.files:
            self._hold(create_task(self._loop, job.context.files.close(), None))

    def _stop(self, job: RunningJob, reason: StopReason) -> None:
        """Cancel the handler's task and calls; the first reason counts."""
        if job.stop is not None or job.task is None:
            return
        job.stop, job.stopped_at = reason, time.monotonic()
        job.context.cancel_requested = True
        self._loop.call_soon(job.task.cancel)  # after the task's first step, so that it can settle
        self._loop.call_soon(job.context.cancel_calls)  # also the calls of a thread or a shielded task

    def _abandon(self, job: RunningJob) -> None:
        """Settle an attempt whose handler does not end; its result will not count."""
        if job.task is not None:
            self._hold(job.task)
        token = log_context.set(job.log_fields)
        with suppress(Exception):
            log.warning("the handler does not end; it is abandoned")
        self._settle(job, outcome_of_stop(job))
        log_context.reset(token)

    def _hold(self, task: asyncio.Task[None]) -> None:
        """Hold a reference to a task that nobody awaits: asyncio alone would let it be collected."""
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)

    def _stop_leases(self, lost: set[str], cancelled: set[str]) -> None:
        for lease in lost & self.running.keys():
            self._stop(self.running[lease], StopReason.LEASE_LOST)
        for lease in cancelled & self.running.keys():
            self._stop(self.running[lease], StopReason.CANCELLED)
        for claim in self.held.drop(lambda claim: claim.lease in lost):
            self.lease_lines.pop(claim.lease, None)
        dropped = self.held.drop(lambda claim: claim.lease in cancelled)
        self._end_held(dropped, OutcomeKind.CANCELLED)

    # -- held claims

    def _note_time(self) -> float:
        """Notice the end of a blockage of the event loop; returns the time."""
        now = time.monotonic()
        if now - self.ticked_at > STALE_SECONDS:
            self.unblocked_at = now
        if self.ticked_at < inf:
            self.ticked_at = now
        return now

    def _start_held(self) -> None:
        self.held.return_stale()
        while self.held and self.free > 0:
            claim, claimed_at, arrived_at, _ = self.held.pop()
            self.start(claim, held_until=claimed_at + int((time.monotonic() - arrived_at) * 1000))

    def _end_held(self, claims: list[Claim], kind: OutcomeKind) -> None:
        """End claims whose handlers were not started."""
        if claims:
            self.finished += [Finished(claim, Outcome(kind)) for claim in claims]
            self.on_end()
