"""Spans of attempts and of webhooks: their place in traces, and what they say of the end."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import FinalError, RetryableError
from shared.store.job_leases import Claim, OutcomeKind
from shared.traces.context import NO_TRACE, TraceContext
from shared.webhooks.signing import read_secrets
from tests.unit.worker.attempts import WORK, Work, a_job
from tests.unit.worker.pools import until
from tests.unit.worker.webhook_receiver import LOOPBACK, SECRETS, Receiver, answering, deliver, failure
from worker.attempt_spans import AttemptSpans
from worker.context import JobContext
from worker.handler import Handler
from worker.running_jobs import RunningJobs
from worker.webhooks.deliverer import Deliverer

pytestmark = pytest.mark.telemetry

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = TraceContext(f"00-{TRACE}-{SPAN}-01", "vendor=1")
UNSAMPLED = TraceContext(f"00-{TRACE}-{SPAN}-00")


def a_claim(trace: TraceContext, *, attempt: int = 1) -> Claim:
    return a_job(attempt=attempt).claim._replace(trace=trace.stored().encode())


async def perform(
    span_tape: Any,
    function: Callable[..., Any],
    trace: TraceContext = SENT,
    *,
    attempt: int = 1,
    children: bool = False,
) -> RunningJobs:
    """Perform an attempt in a worker that traces."""
    jobs = RunningJobs(1, {"work": Handler(WORK, function)}, max_result_bytes=100, on_report=lambda: None)
    jobs.spans = AttemptSpans(span_tape.tracer(children=children))
    jobs.start(a_claim(trace, attempt=attempt))
    await until(lambda: not jobs.running)
    return jobs


async def succeed(params: Work, job: JobContext) -> int:
    return params.size


async def test_an_attempt_begins_a_trace_that_is_linked_to_its_submission(span_tape):
    from tests.span_tape import attributes, links, parent_id, trace_id

    await perform(span_tape, succeed, attempt=2)
    span = span_tape.one("process default")
    assert (span.kind.name, parent_id(span), links(span)) == ("CONSUMER", None, [(TRACE, SPAN)])
    assert trace_id(span) != TRACE
    assert attributes(span) == {
        "messaging.system": "job_server",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": "a-job",
        "job_server.job.type": "work",
        "job_server.job.attempt": 2,
        "job_server.job.outcome": "completed",
    }
    assert span.status.status_code.name == "UNSET"


async def test_an_attempt_is_a_child_of_its_submission_where_the_setting_says_so(span_tape):
    from tests.span_tape import links, parent_id, trace_id

    await perform(span_tape, succeed, children=True)
    span = span_tape.one("process default")
    assert (trace_id(span), parent_id(span), links(span)) == (TRACE, SPAN, [])
    assert span.context.trace_state.to_header() == "vendor=1"


async def test_an_attempt_whose_submission_was_not_recorded_is_not_either(span_tape, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    seen: list[Any] = []

    async def look(params: Work, job: JobContext) -> int:
        from opentelemetry import trace

        with span_tape.tracer().provider.get_tracer("handler").start_as_current_span("inner"):
            seen.append((job.trace, trace.get_current_span().get_span_context().trace_id))
        return 1

    await perform(span_tape, look, UNSAMPLED)
    assert "process default" not in span_tape.names
    assert seen == [(UNSAMPLED, int(TRACE, 16))]


async def test_neither_a_job_without_a_trace_is_recorded_nor_what_its_handler_does(span_tape):
    seen: list[Any] = []

    async def begin(params: Work, job: JobContext) -> int:
        from opentelemetry import trace

        for _ in range(2):
            with span_tape.tracer().provider.get_tracer("handler").start_as_current_span("inner"):
                seen.append(trace.get_current_span().get_span_context().trace_id)
        assert job.trace == NO_TRACE
        return 1

    await perform(span_tape, begin, NO_TRACE)
    assert span_tape.names == []
    assert seen[0] == seen[1] != 0


@pytest.mark.parametrize("ratio", ["0", "0.01"])
async def test_the_sampler_does_not_decide_again_on_a_recorded_submission(span_tape, monkeypatch, ratio):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
    await perform(span_tape, succeed)
    assert span_tape.names == ["process default"]


@pytest.mark.parametrize("children", [False, True])
@pytest.mark.parametrize("blocking", [False, True])
async def test_a_handler_begins_its_spans_within_that_of_the_attempt(span_tape, children, blocking):
    from tests.span_tape import parent_id, span_id

    seen: list[TraceContext] = []

    def begin(params: Work, job: Any) -> int:
        with span_tape.tracer().provider.get_tracer("handler").start_as_current_span("inner"):
            seen.append(job.trace)
        return 1

    async def begin_async(params: Work, job: Any) -> int:
        return begin(params, job)

    await perform(span_tape, begin if blocking else begin_async, children=children)
    inner, span = span_tape.one("inner"), span_tape.one("process default")
    assert parent_id(inner) == span_id(span)
    assert [trace.span_id for trace in seen] == [span_id(span)]


async def test_the_spans_of_a_handler_are_recorded_with_that_of_the_attempt(span_tape, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")  # a sampler that looks at no parent
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")

    async def begin(params: Work, job: JobContext) -> int:
        with span_tape.tracer().provider.get_tracer("handler").start_as_current_span("inner"):
            return 1

    await perform(span_tape, begin)
    assert span_tape.names == ["inner", "process default"]


async def test_log_lines_of_an_attempt_carry_the_ids_of_its_span(span_tape, log_tape):
    from tests.span_tape import span_id, trace_id

    await perform(span_tape, succeed)
    span = span_tape.one("process default")
    lines = [*log_tape.lines("job started"), *log_tape.lines("job completed")]
    assert [(line["trace_id"], line["span_id"]) for line in lines] == [(trace_id(span), span_id(span))] * 2


@pytest.mark.parametrize(
    ("error", "attempt", "outcome", "code"),
    [
        (FinalError("secret", code="own_code"), 1, "failed", "own_code"),
        (RetryableError("secret", code="busy"), 1, "retry", "busy"),
        (RetryableError("secret", code="busy"), 3, "failed", "busy"),
        (ValueError("secret"), 1, "retry", "handler_error"),
    ],
)
async def test_a_failed_attempt_names_the_code_and_not_the_message(span_tape, error, attempt, outcome, code):
    from tests.span_tape import attributes

    async def fail(params: Work, job: JobContext) -> int:
        raise error

    jobs = await perform(span_tape, fail, attempt=attempt)
    assert jobs.finished[0].outcome.kind == outcome
    span = span_tape.one("process default")
    assert attributes(span)["job_server.job.outcome"] == outcome
    assert attributes(span)["error.type"] == code
    assert (span.status.status_code.name, span.status.description) == ("ERROR", None)
    assert "secret" not in span.to_json()


async def test_an_abandoned_attempt_ends_its_span(span_tape):
    from tests.span_tape import attributes

    started: list[bool] = []

    async def hang(params: Work, job: JobContext) -> int:
        started.append(True)
        while not job.cancel_requested:
            await until(lambda: job.cancel_requested)
        return 1

    jobs = RunningJobs(1, {"work": Handler(WORK, hang)}, max_result_bytes=100, on_report=lambda: None)
    jobs.spans = AttemptSpans(span_tape.tracer())
    jobs.start(a_claim(SENT))
    await until(lambda: started)
    jobs.abandon()
    assert attributes(span_tape.one("process default"))["error.type"] == "lease_lost"
    await until(lambda: not jobs._unfinished)


async def test_an_attempt_ends_as_usual_where_its_span_fails(span_tape, monkeypatch):
    spans = AttemptSpans(span_tape.tracer())
    monkeypatch.setattr(spans, "end", lambda *arguments: 1 / 0)
    jobs = RunningJobs(1, {"work": Handler(WORK, succeed)}, max_result_bytes=100, on_report=lambda: None)
    jobs.spans = spans
    jobs.start(a_claim(SENT))
    await until(lambda: jobs.finished)
    assert jobs.finished[0].outcome.kind is OutcomeKind.COMPLETED


# -- webhooks


@pytest.fixture
async def traced_deliverer(span_tape, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)  # reading what the system trusts takes its time
    deliverer = Deliverer(read_secrets(",".join(SECRETS)), LOOPBACK, tracer=span_tape.tracer())
    yield deliverer
    await deliverer.aclose()


async def test_a_webhook_has_a_span_within_the_trace_of_the_submission(span_tape, receiver, traced_deliverer):
    from tests.span_tape import attributes, parent_id, span_id, trace_id

    await deliver(traced_deliverer, receiver.url, trace=SENT.stored())
    span = span_tape.one("POST")
    assert (span.kind.name, trace_id(span), parent_id(span)) == ("CLIENT", TRACE, SPAN)
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.response.status_code": 204,
        "server.address": "127.0.0.1",
        "server.port": int(receiver.url.split(":")[2].split("/")[0]),
        "messaging.message.id": "a-job",
    }
    ((_, headers, _),) = receiver.requests
    assert headers["traceparent"] == f"00-{TRACE}-{span_id(span)}-01"
    assert headers["tracestate"] == "vendor=1"


@pytest.mark.parametrize(
    ("status", "code"), [(500, "webhook_refused"), (301, "webhook_refused"), (410, "webhook_gone")]
)
async def test_a_refused_webhook_names_our_code(
    span_tape, receiver: Receiver, traced_deliverer, status: int, code: str
):
    from tests.span_tape import attributes

    receiver.answers = [answering(status)]
    assert (await failure(traced_deliverer, receiver.url, trace=SENT.stored())).code == code
    span = span_tape.one("POST")
    assert attributes(span)["error.type"] == code
    assert attributes(span)["http.response.status_code"] == status


async def test_a_receiver_that_is_away_names_our_code(span_tape, traced_deliverer):
    from tests.span_tape import attributes

    error = await failure(traced_deliverer, "http://127.0.0.1:1025/", trace=SENT.stored())
    assert attributes(span_tape.one("POST"))["error.type"] == error.code == "webhook_unreachable"


@pytest.mark.parametrize("trace", [UNSAMPLED, NO_TRACE])
async def test_a_webhook_of_a_job_that_is_not_recorded_has_no_span(
    span_tape, receiver: Receiver, traced_deliverer, trace: TraceContext
):
    await deliver(traced_deliverer, receiver.url, trace=trace.stored())
    assert span_tape.names == []
    ((_, headers, _),) = receiver.requests
    assert headers.get("traceparent", "") == trace.traceparent
