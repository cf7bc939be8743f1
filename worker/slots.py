"""The slots of a worker: the jobs that it performs right now, and what becomes of each."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf

from shared.errors import RetryableError
from shared.logging import get_log, log_context
from shared.store.job_leases import Claim, Finished, Outcome, OutcomeKind
from worker.context import JobContext, News, Tools
from worker.event_loop import create_task, own_task, owner_context
from worker.execute import RunningJob, StopReason, execute, failed, judge_safely, prepare, stopped
from worker.processes.protocol import describe
from worker.registry import Handler
from worker.snapshot import lease_line

ABANDON_SECONDS = 5.0  # for a handler to end after it was told to
ENDED = {kind: f"job {kind}" for kind in OutcomeKind}

log = get_log(__name__)


class Slots:
    """Starts jobs, stops them, and gathers how they ended.

    Args:
        size: jobs at once.
        handlers: the handlers by job type.
        max_result_bytes: the largest result that a job may have.
        tools: what the jobs may use.
        on_report: called when a job has news; from any thread.
        aside: how many of the running jobs need no slot now.
        most_aside: their bound.

    Attributes:
        size: jobs at once.
        most: jobs at once, with those that need no slot.
        on_end: called when a job has ended.
        running: the jobs by their leases.
        finished: ended attempts that Redis does not know of yet.
        lease_lines: by lease, the lines of a snapshot: of running jobs, and of outcomes on their way.
        ticked_at: when the event loop last came by here, by the monotonic clock.
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
    ) -> None:
        self.size = size
        self.most = size + most_aside
        self.on_end: Callable[[], None] = lambda: None
        self.running: dict[str, RunningJob] = {}
        self.finished: list[Finished] = []
        self.lease_lines: dict[str, str] = {}
        self.ticked_at = time.monotonic()
        self._handlers = handlers
        self._max_result_bytes = max_result_bytes
        self._tools = tools
        self._on_report = on_report
        self._aside = aside
        self._unfinished: set[asyncio.Task[None]] = set()  # of jobs that have ended here
        self._loop = asyncio.get_event_loop()

    @property
    def free(self) -> int:
        if self._aside is None:
            return self.size - len(self.running)
        return max(0, self.size + self._aside() - len(self.running))

    def start(self, claim: Claim) -> None:
        context = JobContext.of(claim, self._on_report, self._tools)
        job = RunningJob(claim, context, started_at=time.monotonic())
        try:  # noqa: SIM105  # without a cost for each job
            prepare(job, self._handlers)  # now, so that the next snapshot has the deadline
        except Exception:  # noqa: S110  # the attempt will say it
            pass
        self.lease_lines[claim.lease] = lease_line(claim.queue, claim.lease, job.deadline)
        self.running[claim.lease] = job
        job.task = own_task(self._loop, self._run(job), job)

    def cancel(self, job_ids: set[str]) -> None:
        """Stop those of these jobs that run here."""
        for job in list(self.running.values()):
            if job.claim.job_id in job_ids:
                self._stop(job, StopReason.CANCELLED)

    def hand_back(self) -> None:
        """Stop every job, for another worker to take."""
        for job in list(self.running.values()):
            self._stop(job, StopReason.SHUTDOWN)

    def abandon(self) -> None:
        """Settle every job, whatever its handler still does."""
        for job in list(self.running.values()):
            self._abandon(job)

    def tick(self) -> None:
        """End what takes too long; give up on what does not end."""
        self.ticked_at = now = time.monotonic()
        for done in self.finished:  # for as long as Redis is away: no deadline ends the lease of an outcome
            self.lease_lines[done.claim.lease] = lease_line(done.claim.queue, done.claim.lease, inf)
        for job in list(self.running.values()):
            if now > job.stopped_at + ABANDON_SECONDS:
                self._abandon(job)
            elif now > job.deadline:
                self._stop(job, StopReason.TIMEOUT)

    def news(self) -> list[tuple[RunningJob, News]]:
        """What Redis does not know of the running jobs."""
        told = []
        for job in self.running.values():
            if job.context.unsent:
                with suppress(Exception):  # of one job; the others have news as well
                    told.append((job, job.context.news()))
        return told

    def written(self, count: int) -> None:
        """Redis knows the outcomes of the first so many ended attempts: their leases are over."""
        for done in self.finished[:count]:
            self.lease_lines.pop(done.claim.lease, None)
        del self.finished[:count]

    # -- called from the heartbeat's thread

    def heard(self, lost: set[str], cancelled: set[str]) -> None:
        """Leases that are lost, and those whose jobs were asked to stop."""
        self._loop.call_soon_threadsafe(self._hear, lost, cancelled)

    def blocking_job(self) -> Claim | None:
        """The job that holds the event loop at this moment."""
        task = asyncio.current_task(self._loop)
        return next((job.claim for job in self.running.copy().values() if job.task is task), None)

    # -- one job

    async def _run(self, job: RunningJob) -> None:
        owner_context.set(job)
        log_context.set(job.log_fields)
        try:
            outcome = await execute(job, self._handlers, max_result_bytes=self._max_result_bytes)
        except BaseException as error:  # GeneratorExit passes by what it is thrown through
            outcome = judge_safely(job, error)
        self._settle(job, outcome)

    def _settle(self, job: RunningJob, outcome: Outcome | None) -> None:
        """Free the job's slot and put its outcome on the way to Redis, whatever else fails."""
        if self.running.pop(job.claim.lease, None) is None:
            return  # it was abandoned, and has its outcome
        job.ended = True
        job.task = None  # it knows the job: a circle, which only the garbage collector would end
        if outcome is not None:
            self.finished.append(_finished(job, outcome))
        else:
            self.lease_lines.pop(job.claim.lease, None)
        self.on_end()
        try:
            job.context.release()
            _log_end(job, outcome)
        except Exception:  # noqa: S110  # a log that can't be written ends neither a job nor the worker
            pass
        if job.context.files:
            self._see_through(create_task(self._loop, job.context.files.close(), None))

    def _stop(self, job: RunningJob, reason: StopReason) -> None:
        """Tell the handler to end; the first reason counts."""
        if job.stop is not None or job.task is None:
            return
        job.stop, job.stopped_at = reason, time.monotonic()
        job.context.cancel_requested = True
        self._loop.call_soon(job.task.cancel)  # after its first step, so that it can settle
        self._loop.call_soon(job.context.end_calls)  # also those that a thread or a shielded task waits for

    def _abandon(self, job: RunningJob) -> None:
        """Settle a job whose handler does not end; what it still does no longer counts."""
        if job.task is not None:
            self._see_through(job.task)
        token = log_context.set(job.log_fields)
        with suppress(Exception):
            log.warning("the handler does not end; it is abandoned")
        self._settle(job, stopped(job))
        log_context.reset(token)

    def _see_through(self, task: asyncio.Task[None]) -> None:
        """Hold a task that nobody waits for, or it might vanish before its end."""
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)

    def _hear(self, lost: set[str], cancelled: set[str]) -> None:
        for lease in lost & self.running.keys():
            self._stop(self.running[lease], StopReason.LEASE_LOST)
        for lease in cancelled & self.running.keys():
            self._stop(self.running[lease], StopReason.CANCELLED)


def _finished(job: RunningJob, outcome: Outcome) -> Finished:
    """The end of an attempt with its last progress and lines, and its artifacts.

    A job whose artifacts can't be listed has not completed.
    """
    progress, lines, artifacts = b"", b"", b""
    try:  # noqa: SIM105  # without a cost for each job
        progress, lines, _ = job.context.news()
    except Exception:  # noqa: S110  # the outcome is worth more than its news
        pass
    try:
        artifacts = job.context.files.artifacts_json() if job.context.files else b""
    except Exception as error:
        if outcome.kind is OutcomeKind.COMPLETED:
            outcome = failed(
                job,
                RetryableError(
                    f"The artifacts could not be listed: {describe(error)}.", code="artifacts_lost"
                ),
            )
    return Finished(job.claim, outcome, progress, lines, artifacts)


def _log_end(job: RunningJob, outcome: Outcome | None) -> None:
    duration = round(time.monotonic() - job.started_at, 4)
    if outcome is None:
        log.warning("lease lost; the attempt is discarded", duration=duration)
    elif outcome.kind is OutcomeKind.RELEASED and outcome.delay:
        log.debug(ENDED[outcome.kind], duration=duration)  # judge() has logged the reason
    else:
        log.info(ENDED[outcome.kind], duration=duration)
