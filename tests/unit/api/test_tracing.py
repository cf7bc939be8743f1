"""Spans of requests and of the submission of jobs, and the trace that the jobs keep."""

from typing import Any

import pytest
from httpx import AsyncClient

from api import configuration
from shared.traces.context import TraceContext

pytestmark = pytest.mark.telemetry

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
ECHO: dict[str, Any] = {"type": "echo", "params": {"message": "hi"}}
WORDS: dict[str, Any] = {"type": "word_count", "params": {"text": "a b"}}


def use_share(
    share: str, monkeypatch: pytest.MonkeyPatch, *, sampler: str = "parentbased_traceidratio"
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)


@pytest.fixture
async def traced(serve, fake_redis, span_tape, monkeypatch: pytest.MonkeyPatch) -> AsyncClient:
    """A client of an API that traces."""
    monkeypatch.setattr(configuration, "open_tracer", lambda traces, service: span_tape.tracer())
    client: AsyncClient = await serve(fake_redis)
    return client


async def test_a_submission_has_a_span_within_that_of_its_request(traced, span_tape, worker):
    from tests.span_tape import attributes, parent_id, span_id, trace_id

    answer = await traced.post("/v1/jobs", json=ECHO)
    assert span_tape.names == ["send default", "POST /v1/jobs"]
    request, send = span_tape.one("POST /v1/jobs"), span_tape.one("send default")
    assert (request.kind.name, send.kind.name) == ("SERVER", "PRODUCER")
    assert parent_id(request) is None
    assert parent_id(send) == span_id(request)
    assert attributes(send) == {
        "messaging.system": "job_server",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "default",
        "messaging.message.id": answer.json()["job_id"],
        "job_server.job.type": "echo",
    }
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/jobs",
        "http.response.status_code": 202,
        "url.scheme": "http",
        "url.path": "/v1/jobs",
        "network.protocol.version": "1.1",
        "client.address": "203.0.113.9",
    }
    kept = TraceContext.of_stored((await worker.claim_one()).trace)
    assert kept == TraceContext(f"00-{trace_id(send)}-{span_id(send)}-{kept.traceparent[-2:]}")
    assert kept.sampled


async def test_the_trace_of_a_caller_goes_on(traced, span_tape, worker):
    from tests.span_tape import parent_id, span_id, trace_id

    await traced.post("/jobs", json=ECHO, headers=SENT)
    request, send = span_tape.one("POST /jobs"), span_tape.one("send default")
    assert (trace_id(request), parent_id(request), trace_id(send)) == (TRACE, SPAN, TRACE)
    kept = TraceContext.of_stored((await worker.claim_one()).trace)
    assert (kept.trace_id, kept.span_id, kept.tracestate) == (TRACE, span_id(send), "vendor=1")


async def test_a_batch_has_a_span_for_each_of_its_queues(traced, span_tape, worker):
    from tests.span_tape import attributes, span_id

    await traced.post("/jobs/batch", json={"jobs": [ECHO, WORDS, ECHO]})
    send = span_tape.one("send default")
    assert attributes(send)["messaging.batch.message_count"] == 3
    assert {TraceContext.of_stored(c.trace).span_id for c in await worker.claim(3)} == {span_id(send)}


async def test_other_requests_have_a_span_with_the_template_of_their_path(traced, span_tape):
    job_id = (await traced.post("/jobs", json=ECHO)).json()["job_id"]
    await traced.get(f"/v1/jobs/{job_id}")
    await traced.get("/v1/job-types/echo")
    await traced.get("/nowhere/at/all")
    assert span_tape.names[2:] == ["GET /v1/jobs/{job_id}", "GET /v1/job-types/{name}", "GET"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/readyz", "/docs", "/openapi.json", "/metrics"])
async def test_health_checks_and_the_reference_have_none(traced, span_tape, path):
    await traced.get(path)
    assert span_tape.names == []


async def test_a_refused_submission_names_our_code(traced, span_tape, monkeypatch):
    from tests.span_tape import attributes

    key = {"Idempotency-Key": "k"}
    await traced.post("/jobs", json=ECHO, headers=key)
    span_tape.exporter.clear()
    other = {**ECHO, "params": {"message": "other"}}
    assert (await traced.post("/jobs", json=other, headers=key)).status_code == 422
    send, request = span_tape.one("send default"), span_tape.one("POST /jobs")
    assert attributes(send)["error.type"] == "idempotency_conflict"
    assert send.status.status_code.name == "ERROR"
    assert send.status.description is None
    assert attributes(request)["http.response.status_code"] == 422
    assert "error.type" not in attributes(request)  # the client's fault


async def test_a_fault_of_the_server_is_one_of_its_span(serve, span_tape, monkeypatch):
    from tests.span_tape import attributes

    monkeypatch.setattr(configuration, "open_tracer", lambda traces, service: span_tape.tracer())
    lonely = await serve(None, redis_url="redis://127.0.0.1:1/0")
    assert (await lonely.post("/jobs", json=ECHO)).status_code == 503
    assert attributes(span_tape.one("POST /jobs"))["error.type"] == "503"
    assert attributes(span_tape.one("send default"))["error.type"] == "queue_unavailable"


async def test_a_caller_that_does_not_record_gets_no_spans_and_its_jobs_say_so(traced, span_tape, worker):
    await traced.post("/jobs", json=ECHO, headers=UNSAMPLED)
    assert span_tape.names == []
    kept = TraceContext.of_stored((await worker.claim_one()).trace)
    assert (kept.trace_id, kept.span_id, kept.sampled) == (TRACE, SPAN, False)


async def test_the_sampler_of_the_environment_decides(serve, fake_redis, span_tape, monkeypatch, worker):
    use_share("0", monkeypatch)
    monkeypatch.setattr(configuration, "open_tracer", lambda traces, service: span_tape.tracer())
    client = await serve(fake_redis)
    await client.post("/jobs", json=ECHO)
    await client.post("/jobs", json=ECHO, headers=SENT)
    assert span_tape.names == ["send default", "POST /jobs"]
    claims = await worker.claim(2)
    assert [TraceContext.of_stored(claim.trace).sampled for claim in claims] == [False, True]


async def test_a_sampler_that_overrules_a_caller_decides_for_its_jobs_too(
    serve, fake_redis, span_tape, monkeypatch, worker
):
    use_share("0", monkeypatch, sampler="traceidratio")
    monkeypatch.setattr(configuration, "open_tracer", lambda traces, service: span_tape.tracer())
    client = await serve(fake_redis)
    await client.post("/jobs", json=ECHO, headers=SENT)
    await client.post("/jobs/batch", json={"jobs": [ECHO]}, headers=SENT)
    assert span_tape.names == []
    for claim in await worker.claim(2):
        kept = TraceContext.of_stored(claim.trace)
        assert (kept.trace_id, kept.span_id, kept.sampled, kept.tracestate) == (
            TRACE,
            SPAN,
            False,
            "vendor=1",
        )


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
async def test_a_share_is_recorded_by_the_ids_of_traces(serve, fake_redis, span_tape, monkeypatch, sampler):
    """Another process that is asked about the same id decides alike."""
    from tests.span_tape import trace_id

    use_share("0.5", monkeypatch, sampler=sampler)
    monkeypatch.setattr(configuration, "open_tracer", lambda traces, service: span_tape.tracer())
    client = await serve(fake_redis)
    for _ in range(64):
        await client.get("/jobs")
    ids = [int(trace_id(span)[16:], 16) for span in span_tape.exporter.get_finished_spans()]
    assert 8 < len(ids) < 56  # a binomial distribution leaves this once in 10 billion runs
    assert max(ids) < 1 << 63


async def test_the_log_line_of_a_request_carries_the_ids_of_its_span(traced, span_tape, log_tape):
    from tests.span_tape import span_id

    await traced.post("/jobs", json=ECHO, headers=SENT)
    (line,) = log_tape.lines("request")
    assert (line["trace_id"], line["span_id"]) == (TRACE, span_id(span_tape.one("POST /jobs")))
