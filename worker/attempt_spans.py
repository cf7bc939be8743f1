"""AttemptSpans: the spans of attempts; absent from a worker whose setting TRACES is off."""

from typing import TYPE_CHECKING

import orjson

from shared.store.job_leases import Outcome, OutcomeKind
from shared.traces.context import FLAGS, PARENT_LENGTH, UNRECORDED, TraceContext
from shared.traces.messaging import (
    ATTEMPT,
    JOB_TYPE,
    MESSAGE_ID,
    OUTCOME,
    PROCESS,
    span_attributes,
    span_name,
)
from worker.running_job import RunningJob

if TYPE_CHECKING:
    from shared.traces.tracer import Tracer

LEASE_LOST = "lease_lost"
FAILURES = (OutcomeKind.FAILED, OutcomeKind.RETRY)


class AttemptSpans:
    """Gives attempts a span `process <queue>`, as far as the sending of their jobs was recorded.

    Args:
        tracer: begins the spans.
    """

    def __init__(self, tracer: "Tracer") -> None:
        self._tracer = tracer

    def begin(self, job: RunningJob) -> None:
        """Begin the span of an attempt, in the attempt's own task."""
        claim = job.claim
        if not claim.trace or claim.trace[FLAGS:PARENT_LENGTH] in UNRECORDED:
            self._tracer.follow_unrecorded(claim.trace)
            return
        attributes = span_attributes(PROCESS, claim.queue)
        attributes |= {MESSAGE_ID: claim.job_id, ATTEMPT: claim.attempt}
        sender = TraceContext.of_stored(claim.trace)
        job.span = self._tracer.begin_attempt(span_name(PROCESS, claim.queue), sender, attributes)
        if job.span is not None:
            job.context.span = job.span.context
            job.log_fields |= job.span.context.log_fields

    def end(self, job: RunningJob, outcome: Outcome | None) -> None:
        """End the span of an attempt, if it has one. Without an outcome its lease was lost."""
        span = job.span
        if span is None:
            return
        attributes = {JOB_TYPE: job.handler.job_type.name} if job.handler else {}
        if outcome is None:
            span.fail(LEASE_LOST)
        else:
            attributes[OUTCOME] = outcome.kind.value
            if outcome.kind in FAILURES:
                span.fail(orjson.loads(outcome.body)["code"])
        span.set(attributes)
        span.end()
