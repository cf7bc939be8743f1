"""TracedQueue: a JobQueue whose submissions have spans; used where the setting TRACES is not off."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shared.errors import JobServerError
from shared.store.job_queue import JobQueue
from shared.store.submission import JobQuota, NewJob, Submitted
from shared.traces.messaging import BATCH_COUNT, JOB_TYPE, MESSAGE_ID, SEND, span_attributes, span_name

if TYPE_CHECKING:
    from shared.traces.tracer import Span, Tracer


class TracedQueue(JobQueue):
    """A queue with a span `send <queue>` for each recorded request that submits jobs.

    The jobs keep the context of that span, with which the spans of their attempts are linked. Those of other
    requests keep the context of their callers.

    Args:
        tracer: begins the spans.
        arguments, options: those of a JobQueue.
    """

    def __init__(self, tracer: "Tracer", *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._tracer = tracer

    async def submit(self, job: NewJob, quota: JobQuota | None = None) -> Submitted:
        if not self._tracer.request_recorded:
            _leave_out(job)
            return await super().submit(job, quota)
        with self._sending([job]) as spans:
            submitted = await super().submit(job, quota)
            for span in spans:
                span.set({MESSAGE_ID: submitted.record.job_id, JOB_TYPE: job.job_type.name})
            return submitted

    async def submit_all(self, jobs: Sequence[NewJob], quota: JobQuota | None = None) -> list[Submitted]:
        if not self._tracer.request_recorded:
            for job in jobs:
                _leave_out(job)
            return await super().submit_all(jobs, quota)
        with self._sending(jobs):
            return await super().submit_all(jobs, quota)

    @contextmanager
    def _sending(self, jobs: Sequence[NewJob]) -> Iterator[Collection["Span"]]:
        """Within the block, the spans of a submission: one for each queue."""
        spans: dict[str, Span] = {}
        for job in jobs:
            queue = job.job_type.queue
            if queue not in spans:
                spans[queue] = self._tracer.begin_send(span_name(SEND, queue), span_attributes(SEND, queue))
            job.trace = spans[queue].context
        if len(jobs) > 1:
            for queue, span in spans.items():
                span.set({BATCH_COUNT: sum(job.job_type.queue == queue for job in jobs)})
        try:
            yield spans.values()
        except BaseException as error:
            code = error.code if isinstance(error, JobServerError) else type(error).__name__
            for span in spans.values():
                span.fail(code)
            raise
        finally:
            for span in spans.values():
                span.end()


def _leave_out(job: NewJob) -> None:
    """Let the attempts at a job follow the decision on its request; a sampler may overrule the caller."""
    if job.trace is not None and job.trace.sampled:
        job.trace = job.trace.unrecorded()
