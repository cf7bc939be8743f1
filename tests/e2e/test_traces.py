"""A trace from end to end: real processes, spans by OTLP, and the webhook of the job."""

from collections.abc import Iterator
from typing import Any

import pytest

from dev.service import Service, serving
from dev.stack import wait_until
from dev.webhook_receiver import SECRET, WebhookReceiver

pytestmark = pytest.mark.telemetry

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5  # kinds in OTLP
WORKER = "tests.e2e.traced_worker"
TYPES = {"JOB_TYPES": "job_types,tests.model_types", "WORKER_QUEUES": "default,doubled"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Any]:
    from tests.e2e.otlp_receiver import OtlpReceiver

    receiver = OtlpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def webhooks() -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def service(collector: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(
        workers=0,
        TRACES="link",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="50",
        WEBHOOK_SECRETS=SECRET,
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.1/32",
        WORKER_CHILD_ENVIRONMENT="MODEL_FOLDER",
        MODEL_FOLDER=str(tmp_path_factory.mktemp("models")),
        **TYPES,
    ) as service:
        service.start_worker(module=WORKER)
        yield service


def spans_of(collector: Any, *names: str) -> list[Any]:
    """The span with each of these names, once all have come; then they are forgotten."""
    wait_until(lambda: {span.name for span in collector.spans} >= set(names), f"the spans {names} come")
    found = {span.name: span for span in collector.spans}
    collector.spans.clear()
    return [found[name] for name in names]


def test_a_job_is_followed_from_its_caller_to_its_webhook(
    service: Service, collector: Any, webhooks: WebhookReceiver
):
    body = {"type": "echo", "params": {"message": 1}, "webhook": {"url": webhooks.url}}
    job_id = service.call("POST", "/v1/jobs", json=body, headers=SENT).json()["job_id"]
    result = service.call("GET", f"/jobs/{job_id}", params={"wait": 60}).json()["result"]["message"]
    request, send, process, webhook = spans_of(
        collector, "POST /v1/jobs", "send default", "process default", "POST"
    )
    assert collector.paths == {"/v1/traces"}
    assert [span.service for span in (request, send, process, webhook)] == [
        "job-server-api", "job-server-api", "job-server-worker", "job-server-worker",
    ]  # fmt: skip
    assert [span.kind for span in (request, send, process, webhook)] == [SERVER, PRODUCER, CONSUMER, CLIENT]
    assert [span.trace_id for span in (request, send, webhook)] == [TRACE] * 3
    assert (request.parent_id, send.parent_id, webhook.parent_id) == (SPAN, request.span_id, send.span_id)
    assert (process.parent_id, process.links) == ("", [(TRACE, send.span_id)])
    assert send.attributes["messaging.message.id"] == process.attributes["messaging.message.id"] == job_id
    sent = {"traceparent": f"00-{TRACE}-{send.span_id}-01", "tracestate": "vendor=1"}
    assert result["handler"]["traceparent"].split("-")[1:3] == [process.trace_id, process.span_id]
    assert result["process"] == result["handler"]
    assert result["caller"] == sent
    (received,) = webhooks.received
    assert received.headers["traceparent"] == f"00-{TRACE}-{webhook.span_id}-01"
    assert received.headers["tracestate"] == "vendor=1"
    (line,) = service.workers[0].log("job completed", job_id=job_id)
    assert (line["trace_id"], line["span_id"]) == (process.trace_id, process.span_id)


def test_a_model_finds_the_trace_of_each_of_its_jobs(service: Service, collector: Any):
    job = {"type": "doubled", "params": {"number": 1, "act": "trace"}}
    job_id = service.call("POST", "/jobs", json=job).json()["job_id"]
    assert service.call("GET", f"/jobs/{job_id}", params={"wait": 60}).json()["result"] == 2
    (process,) = spans_of(collector, "process doubled")
    (line,) = service.call("GET", f"/jobs/{job_id}/logs").json()["items"]
    assert line["fields"]["traceparent"].split("-")[1:3] == [process.trace_id, process.span_id]


def test_the_last_spans_are_exported_at_shutdown_and_polling_has_made_none(service: Service, collector: Any):
    first, *_ = service.workers
    last = service.start_worker(module=WORKER, OTEL_BSP_SCHEDULE_DELAY="3600000")
    last.wait_ready()
    first.process.terminate()
    assert first.wait_exit() == 0
    collector.spans.clear()
    answer = service.call(
        "POST", "/jobs", params={"wait": 60}, json={"type": "echo", "params": {"message": 1}}
    )
    assert answer.json()["state"] == "completed"
    last.process.terminate()
    assert last.wait_exit() == 0
    wait_until(lambda: len(collector.spans) >= 3, "the spans come")
    names = sorted(span.name for span in collector.spans)
    assert names == ["POST /jobs", "process default", "send default"]
