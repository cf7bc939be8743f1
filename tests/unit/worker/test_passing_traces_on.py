"""The trace context of a job reaches its handler, its log lines, its processes and its webhook."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.store.job_leases import Claim
from shared.traces.context import NO_TRACE, TraceContext
from tests.unit.worker import in_child
from tests.unit.worker.attempts import a_job
from tests.unit.worker.pools import a_pool
from tests.unit.worker.test_batcher import RecordingHost, batch
from tests.unit.worker.webhook_receiver import Receiver, deliver
from worker import reporting
from worker.context import BlockingContext, JobContext, Tools
from worker.models.batcher import Batcher
from worker.running_job import RunningJob
from worker.webhooks.deliverer import Deliverer

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SENT = TraceContext(PARENT, "vendor=1")
OWN = TraceContext("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01")


def a_claim(trace: TraceContext) -> Claim:
    return a_job().claim._replace(trace=trace.stored().encode())


def a_context(trace: TraceContext, tools: Tools | None = None) -> JobContext:
    return JobContext.of(a_claim(trace), lambda: None, tools)


def test_a_handler_finds_the_context_of_the_caller():
    context = a_context(SENT)
    assert context.trace == context.caller_trace == SENT
    assert BlockingContext(context).trace == BlockingContext(context).caller_trace == SENT


def test_without_a_trace_a_handler_finds_an_empty_one():
    context = a_context(NO_TRACE)
    assert context.trace.headers == context.caller_trace.headers == {}
    assert JobContext("id", 1, 3).trace == NO_TRACE


def test_the_span_of_the_attempt_goes_before_the_context_of_the_caller():
    context = a_context(SENT)
    context.span = OWN
    assert (context.trace, context.caller_trace) == (OWN, SENT)


def test_log_lines_of_a_job_with_a_trace_carry_its_ids():
    job = RunningJob(a_claim(SENT), a_context(SENT), 0.0)
    assert job.log_fields["trace_id"] == SENT.trace_id
    assert job.log_fields["span_id"] == SENT.span_id
    assert not {"trace_id", "span_id"} & a_job().log_fields.keys()


async def test_a_function_in_a_process_finds_the_headers():
    async with a_pool() as pool:
        tools: Any = SimpleNamespace(processes=pool)
        assert await a_context(SENT, tools).in_process(in_child.trace_headers) == SENT.headers
        assert await a_context(NO_TRACE, tools).in_process(in_child.trace_headers) == {}


def test_outside_of_a_process_there_are_no_headers():
    assert reporting.trace_headers() == reporting.JobReports(1).trace_headers() == {}


def test_each_job_of_a_batch_has_headers_of_its_own(monkeypatch: pytest.MonkeyPatch):
    call = SimpleNamespace(pid=reporting.os.getpid(), traces=[{}, SENT.headers])
    monkeypatch.setattr(reporting, "current_call", call)
    assert [reporting.JobReports(index).trace_headers() for index in (0, 1)] == [{}, SENT.headers]


async def test_a_model_host_gets_the_headers_of_each_job():
    host = RecordingHost()
    batcher = Batcher(batch(), [host])
    await batcher.perform(1, 1, a_context(SENT))
    await batcher.perform(1, 1, a_context(NO_TRACE))
    assert host.traces == [[SENT.headers], None]


async def test_a_webhook_carries_the_trace_of_its_job(receiver: Receiver, deliverer: Deliverer):
    await deliver(deliverer, receiver.url, trace=SENT.stored())
    await deliver(deliverer, receiver.url)
    (_, with_trace, _), (_, without, _) = receiver.requests
    assert {name: with_trace[name] for name in SENT.headers} == SENT.headers
    assert not {"traceparent", "tracestate"} & without.keys()
