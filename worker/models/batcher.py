"""Batcher: the jobs that wait for one model, and their batches on its hosts."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from shared.errors import FinalError
from shared.logging import get_log
from worker.context import JobContext
from worker.execute import JobPostponed
from worker.models.batch import Batch
from worker.models.forming import next_batch
from worker.processes.protocol import CallReport, describe

log = get_log(__name__)

Answer = bytes | Exception
"""The result of a job as JSON, or its error."""


class Host(Protocol):
    """A model host, as the batcher sees it.

    Attributes:
        ready: whether its model is loaded.
        failed: whether its last setup failed.
    """

    @property
    def ready(self) -> bool: ...
    @property
    def failed(self) -> bool: ...
    async def run(
        self,
        items: Sequence[Any],
        on_report: Callable[[CallReport], None],
        traces: Sequence[dict[str, str]] | None = None,
    ) -> list[Answer]: ...


@dataclass(slots=True, eq=False)
class WaitingJob:
    """A job that waits for a batch, or runs in one.

    Attributes:
        item: the argument of the function.
        context: the job, for its reports.
        cost: by the batch's `cost_of`.
        alone: whether the job must run alone.
        arrived_at: by the monotonic clock.
        answer: its result as JSON; done as well when the attempt was stopped.
    """

    item: Any
    context: JobContext
    cost: int
    alone: bool
    arrived_at: float = field(default_factory=time.monotonic)
    answer: asyncio.Future[bytes] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, answer: Answer) -> None:
        """Give the job its answer, unless its attempt was stopped."""
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


Jobs = list[WaitingJob]


class RunningBatch(NamedTuple):
    """A batch that a host runs, and the task that waits for it."""

    jobs: Jobs
    task: asyncio.Task[None]


class Batcher:
    """Gives the jobs that wait for a model to its hosts, in batches.

    A free host takes the jobs that are there. A batch that fails runs again in two halves, down to single
    jobs: only a job that fails alone has failed. A job whose earlier attempt failed runs alone at once.

    Args:
        batch: the bounds of a batch.
        hosts: the hosts of the model.

    Attributes:
        postpone_seconds: until a job is due again that came while no host was ready; 0 keeps its place.
    """

    def __init__(self, batch: Batch, hosts: Sequence[Host]) -> None:
        self.postpone_seconds = 0.0
        self._batch = batch
        self._hosts = hosts
        self._waiting: Jobs = []
        self._again: deque[Jobs] = deque()  # halves of batches that failed; they go first
        self._running: dict[Host, RunningBatch] = {}
        self._dispatching: asyncio.Handle | None = None

    @property
    def ready(self) -> bool:
        """Whether a host can take jobs."""
        return any(host.ready for host in self._hosts)

    async def perform(self, item: Any, cost: int, context: JobContext) -> bytes:
        """Run a job in a batch; returns its result as JSON.

        Raises:
            JobPostponed: no host has the model.
            Exception: the error of the job.
        """
        if not self.ready:
            raise self._postponed()
        job = WaitingJob(item, context, cost, alone=context.attempt > 1)
        self._waiting.append(job)
        self._dispatch_soon()
        try:
            return await job.answer
        finally:
            if job.answer.cancelled():
                self._drop(job)

    def note_hosts(self) -> None:
        """Notice that a host has become ready, or has lost its model."""
        if self.ready:
            self._dispatch_soon()
            return
        waiting, self._waiting = self._waiting, []  # another worker may have the model
        if all(host.failed for host in self._hosts):
            waiting += [job for jobs in self._again for job in jobs]
            self._again.clear()
        for job in waiting:
            job.settle(self._postponed())

    # -- forming batches

    def _dispatch_soon(self, delay: float = 0.0) -> None:
        """Form batches once the jobs of the same claim have arrived."""
        loop = asyncio.get_running_loop()
        if self._dispatching is not None:
            self._dispatching.cancel()
        self._dispatching = (
            loop.call_later(delay, self._dispatch) if delay else loop.call_soon(self._dispatch)
        )

    def _dispatch(self) -> None:
        self._dispatching = None
        for host in self._hosts:
            if host.ready and host not in self._running and (jobs := self._next()):
                self._running[host] = RunningBatch(jobs, asyncio.create_task(self._run(host, jobs)))

    def _next(self) -> Jobs:
        """The jobs of the next batch; none if there are none, or if they wait for more."""
        while self._again:
            if jobs := [job for job in self._again.popleft() if not job.answer.done()]:
                return jobs
        if not self._waiting:
            return []
        jobs = next_batch(self._waiting, self._batch)
        full = len(jobs) == self._batch.size or len(jobs) < len(self._waiting) or jobs[0].alone
        left = self._waiting[0].arrived_at + self._batch.wait - time.monotonic()
        if self._batch.wait and not full and left > 0:
            self._dispatch_soon(left)
            return []
        chosen = set(map(id, jobs))
        self._waiting = [job for job in self._waiting if id(job) not in chosen]
        return jobs

    # -- running batches

    async def _run(self, host: Host, jobs: Jobs) -> None:
        def report(report: CallReport) -> None:
            for job in jobs if report.place is None else jobs[report.place : report.place + 1]:
                _pass_on(report, job)

        try:
            answers = await host.run([job.item for job in jobs], report, _traces(jobs))
        except asyncio.CancelledError:
            del self._running[host]
            self._dispatch_soon()
            raise
        except Exception as error:
            del self._running[host]
            self._fail(jobs, error)
            self._dispatch_soon()
        else:
            del self._running[host]
            self._dispatch()  # first: the host computes while the results are written
            _settle(jobs, answers)

    def _fail(self, jobs: Jobs, error: Exception) -> None:
        """Run the jobs of a failed batch again in halves; a single job has failed."""
        if len(jobs) == 1:
            jobs[0].settle(error)
            return
        left = [job for job in jobs if not job.answer.done()]
        log.warning("a batch failed; it runs again in halves", jobs=len(left), reason=describe(error))
        half = (len(left) + 1) // 2
        self._again.extendleft(part for part in (left[half:], left[:half]) if part)

    def _drop(self, job: WaitingJob) -> None:
        """Forget a job whose attempt was stopped; end its batch if no other job needs it."""
        if job in self._waiting:
            self._waiting.remove(job)
        for batch in self._running.values():
            if job in batch.jobs and all(other.answer.done() for other in batch.jobs):
                batch.task.cancel()

    def _postponed(self) -> JobPostponed:
        return JobPostponed("no model host is ready", delay=self.postpone_seconds)


def _traces(jobs: Jobs) -> list[dict[str, str]] | None:
    """The trace headers of each job; None if no job has any."""
    traces = [job.context.trace for job in jobs]
    return [trace.headers for trace in traces] if any(traces) else None


def _pass_on(report: CallReport, job: WaitingJob) -> None:
    """Give a job a report of its batch; a job that can't take it, such as too much output, fails."""
    if job.answer.done():
        return
    try:
        job.context.take_report(report)
    except Exception as error:
        job.settle(error)


def _settle(jobs: Jobs, answers: Sequence[Answer]) -> None:
    if len(answers) != len(jobs):
        error = FinalError(
            f"The handler returned {len(answers)} results for a batch of {len(jobs)} jobs.",
            code="invalid_result",
            hint="Correct the handler: let it return one result, or one error, for each of its params.",
        )
        answers = [error] * len(jobs)
    for job, answer in zip(jobs, answers, strict=True):
        job.settle(answer)
